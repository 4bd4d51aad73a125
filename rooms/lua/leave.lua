-- 7: id, 8: owner, or '' for anybody's, 9: reason, 10: ms for which the member may not
-- resume, or 0. Answers what it published, too.
if not follows() then return { 'astray' } end
local held = hold_of(ARGV[7])
if not held then return { 'gone' } end
if ARGV[8] ~= '' and held.owner ~= ARGV[8] then return { 'taken' } end
local bar = tonumber(ARGV[10])
if bar > 0 then
  redis.call('ZREMRANGEBYSCORE', removed, '-inf', text(now))
  redis.call('ZADD', removed, text(now + bar), ARGV[7])
  if redis.call('PTTL', removed) < bar then redis.call('PEXPIRE', removed, ARGV[10]) end
end
local payload = leave(ARGV[7], ARGV[9])
rest()
return { 'ok', where(), payload }
