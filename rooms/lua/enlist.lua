-- KEYS: pods, about. ARGV: 1 pod, 2 ms that its lease lasts, 3 what all lives of this pod's name
-- begin with, 4 what it says of itself.
-- Answers "ok", or "taken" and for how many ms another life of it has a lease.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local pods = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 1, #pods, 2 do
  local left = tonumber(pods[i + 1]) - now
  if left > 0 and string.sub(pods[i], 1, #ARGV[3]) == ARGV[3] then return { 'taken', left } end
end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], string.format('%.0f', now) .. ' ' .. ARGV[4])
return { 'ok' }
