-- A member resumes on this pod. 7: id, 8: the new owner, 9: pod, 10: user and 11:
-- session, as in the body.
if not follows() then return { 'astray' } end
local held = hold_of(ARGV[7])
if not held then
  if is_removed(ARGV[7]) then return { 'removed' } end
  return { 'gone' }
end
if held.owner == ARGV[8] then return { 'done' } end
local user, session = string.match(redis.call('HGET', members, ARGV[7]) or '', '^%S+ (%S+) (%S+) ')
if user ~= ARGV[10] or session ~= ARGV[11] then return { 'wrong' } end
hold(ARGV[7], ARGV[8], 0, held.joined, ARGV[9], '-')
note('T ' .. ARGV[8] .. ' ' .. ARGV[9] .. ' - ' .. ARGV[7])
save()
return { 'ok', where() }
