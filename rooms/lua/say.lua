-- A signal or a change of a member. 7: id, 8: owner, 9: its sequence, 10: to, or '',
-- 11: payload, 12: the new body, or ''.
if not follows() then return { 'astray' } end
local seq = tonumber(ARGV[9])
local held = hold_of(ARGV[7])
if not held then return { 'gone' } end
if held.owner ~= ARGV[8] then return { 'taken' } end
if ARGV[10] ~= '' and redis.call('HEXISTS', holds, ARGV[10]) == 0 then return { 'nobody' } end
if seq <= held.seq then return { 'done' } end
hold(ARGV[7], held.owner, seq, held.joined, held.pod, held.was)
if ARGV[12] ~= '' then redis.call('HSET', members, ARGV[7], ARGV[12]) end
append(ARGV[11])
save()
return { 'ok', where() }
