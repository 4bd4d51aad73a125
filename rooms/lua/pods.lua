-- KEYS: pods, dead, about. Answers the time in ms; then of each life of a pod its name, until
-- when its lease is good, 0 where that was given up, and what it said of itself, or ''.
local time = redis.call('TIME')
local answer = { time[1] * 1000 + math.floor(time[2] / 1000) }
local function tell(pod, lease)
  table.insert(answer, pod)
  table.insert(answer, lease)
  table.insert(answer, redis.call('HGET', KEYS[3], pod) or '')
end
local pods = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 1, #pods, 2 do tell(pods[i], tonumber(pods[i + 1])) end
for _, pod in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do tell(pod, 0) end
return answer
