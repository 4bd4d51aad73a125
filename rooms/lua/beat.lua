-- KEYS: pods, dead, about. ARGV: 1 pod, 2 ms that its lease lasts, 3 "reap" where it may look
-- for dead ones, 4 ms that a pod has to reap another, 5 what it says of itself.
-- Answers "ok" and the pods that this one is to reap; "late" where the lease had run out;
-- "lost" where the pod was given up.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not lease then return { 'lost' } end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('HSET', KEYS[3], ARGV[1], string.format('%.0f', now) .. ' ' .. ARGV[5])
if tonumber(lease) < now then return { 'late' } end
local answer = { 'ok' }
if ARGV[3] ~= 'reap' then return answer end
for _, pod in ipairs(redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE', 'LIMIT', 0, 8)) do
  redis.call('ZREM', KEYS[1], pod)
  redis.call('ZADD', KEYS[2], 0, pod)
end
for _, pod in ipairs(redis.call('ZRANGE', KEYS[2], '-inf', now - ARGV[4], 'BYSCORE', 'LIMIT', 0, 8)) do
  redis.call('ZADD', KEYS[2], now, pod)
  table.insert(answer, pod)
end
return answer
