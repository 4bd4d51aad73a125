-- 7: "all" for the members too, whatever the pod has seen; 8: the number and 9:
-- the count beside it that the pod has seen.
-- Answers epoch, n, c, at, the entries after that (newest first, nil where that
-- can't be told), members, holds (nil where what the pod has still counts).
local since, beside = tonumber(ARGV[8]), tonumber(ARGV[9])
local told = seen_epoch == epoch and epoch ~= '' and since <= n and n - since <= redis.call('XLEN', log)
local entries = false
if told then
  entries = {}
  if n > since then entries = redis.call('XREVRANGE', log, '+', '-', 'COUNT', n - since) end
end
if told and beside == c and ARGV[7] ~= 'all' then
  return { epoch, n, c, at, entries, false, false }
end
return { epoch, n, c, at, entries, redis.call('HGETALL', members), redis.call('HGETALL', holds) }
