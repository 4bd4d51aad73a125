-- 7: "log" for what is new, "head" for that there is a log at all, "all" for the members,
-- whatever the pod has seen; 8: the number, 9: the count beside it, and 10: the mark that
-- the pod has seen.
-- Answers epoch, n, c, at, mark, the entries after that number, newest first, and the one of
-- that number if it is kept (nil where they can't be told), members, holds (nil where what
-- the pod has still counts).
if ARGV[7] == 'head' then return { epoch, n, c, at, mark, false, false, false } end
local since, beside = tonumber(ARGV[8]), tonumber(ARGV[9])
local told = seen_epoch == epoch and epoch ~= '' and since <= n and n - since <= redis.call('XLEN', log)
local entries = false
if told then entries = redis.call('XREVRANGE', log, '+', '-', 'COUNT', n - since + 1) end
if told and beside == c and mark == ARGV[10] and ARGV[7] ~= 'all' then
  return { epoch, n, c, at, mark, entries, false, false }
end
return { epoch, n, c, at, mark, entries, redis.call('HGETALL', members), redis.call('HGETALL', holds) }
