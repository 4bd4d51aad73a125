-- Tells what is new. KEYS: history, rules, versions, ends, chains; see shared_keys.go.
-- ARGV: 1 epoch, 2 version and 3 chain that the pod has seen; 4 the version after which it reads;
--       5 how many rules it reads at most; 6 its own channel, on which it is told that it was
--       here, or none.
-- Answers the time in ms, and "same"; or "since", or "all" where what the pod has seen isn't part
-- of this history, with epoch, version and chain as they are, the version up to which this goes,
-- and the rules, the one that changed last at the end.

local history, rules, versions, ends, chains = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local seen_epoch, seen, seen_chain, after = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]

if ARGV[6] ~= '' then redis.call('SPUBLISH', ARGV[6], 'here') end

local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local state = redis.call('HMGET', history, 'epoch', 'version', 'chain', 'count')
local epoch, version, chain = state[1] or '', tonumber(state[2] or 0) or 0, state[3] or ''
local count = tonumber(state[4] or 0)
local whole = redis.call('HLEN', rules) == count and redis.call('ZCARD', versions) == count and redis.call('ZCARD', ends) == count
if not whole then epoch, version, chain = '', 0, '' end -- as if there were nothing; see put.lua

-- follows says whether what the pod has seen is part of this history.
local function follows()
  if seen_epoch ~= epoch or seen > version then return false end
  if seen == version then return seen_chain == chain end
  return redis.call('LINDEX', chains, seen - version - 1) == seen_chain
end

local what = 'since'
if not follows() then
  what, after = 'all', '0'
elseif seen == version and tonumber(after) == version then
  return { now, 'same' }
end

local found = {}
if epoch ~= '' then -- or what there is is left of a history that is lost, and is going to be put again
  found = redis.call('ZRANGE', versions, '(' .. after, '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[5], 'WITHSCORES')
end
local last = version
if #found / 2 >= tonumber(ARGV[5]) then last = tonumber(found[#found]) end
local answer = { now, what, epoch, string.format('%.0f', version), chain, string.format('%.0f', last) }
for i = 1, #found, 2 do
  table.insert(answer, redis.call('HGET', rules, found[i]) or '')
end
return answer
