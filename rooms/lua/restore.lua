-- The log is gone, or has lost what a pod has seen: a new one begins, with the members that
-- there are, and where there are none with those that the pod knows. What it knows of other
-- pods' it adopts: who lives takes them back.
-- 7: the new epoch, 8: "differs" where the log is known to have gone on otherwise than was
-- seen; 9: how many members, and then id, hold and body of each; then until when each of those
-- may not resume who were put out, and its id.
local lost = n + c < seen_position or ARGV[8] == 'differs'
if epoch ~= '' and not (epoch == seen_epoch and lost) then return { 'done' } end
local adopted = epoch == ''
if adopted then
  local bars = 10 + 3 * tonumber(ARGV[9])
  for i = 10, bars - 1, 3 do
    redis.call('HSET', holds, ARGV[i], ARGV[i + 1])
    redis.call('HSET', members, ARGV[i], ARGV[i + 2])
  end
  for i = bars, #ARGV, 2 do
    redis.call('ZADD', removed, ARGV[i], ARGV[i + 1])
    redis.call('PEXPIREAT', removed, ARGV[i])
  end
end
begin(ARGV[7])
redis.call('PERSIST', head)
note('R')
rest()
return { 'ok', where(), adopted and 'adopted' or '' }
