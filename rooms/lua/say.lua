-- A signal or an update of a member. 7: id, 8: owner, 9: its sequence, 10: to, or '',
-- 11: payload, 12: the new body of an update, or ''.
-- 13: "late": it was told to followers already, so it is taken in any case.
if not follows() then return { 'astray' } end
local late = ARGV[13] == 'late'
local seq = tonumber(ARGV[9])
local held = hold_of(ARGV[7])
local own = held and held.owner == ARGV[8]
if not late then
  if not held then return { 'gone' } end
  if not own then return { 'taken' } end
  if ARGV[10] ~= '' and redis.call('HEXISTS', holds, ARGV[10]) == 0 then return { 'nobody' } end
end
if own then
  if seq <= held.seq then return { 'done' } end
  hold(ARGV[7], held.owner, seq, held.joined, held.pod, held.was)
end
if ARGV[12] ~= '' then redis.call('HSET', members, ARGV[7], ARGV[12]) end
append(ARGV[11])
save()
return { 'ok', where() }
