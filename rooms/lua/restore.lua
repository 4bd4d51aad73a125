-- The log is gone, or has lost what a pod has seen: a new one begins, with the
-- members that there are, and where there are none with those that the pod knows.
-- 7: the new epoch; then id, hold and body of each member.
if epoch ~= '' and (epoch ~= seen_epoch or n + c >= seen_position) then return { 'done' } end
if epoch == '' then
  for i = 8, #ARGV, 3 do
    redis.call('HSET', holds, ARGV[i], ARGV[i + 1])
    redis.call('HSET', members, ARGV[i], ARGV[i + 2])
  end
end
begin(ARGV[7])
redis.call('DEL', log)
redis.call('PERSIST', head)
note('R')
save()
return { 'ok', where() }
