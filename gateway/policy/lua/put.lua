-- Has rules count. KEYS: history, rules, versions, ends, chains; see shared_keys.go.
-- ARGV: 1 channel; 2 the epoch of a history that begins; 3 the time in ms of Redis's clock
--       after which this is too late, or 0; 4 ms for which what is over is kept; 5 how many
--       chains are kept; then for every rule its id, Set or 0 where it gets the time, the least
--       time that it gets, Until, until when it is remembered, Value, and the rest of its JSON.
-- Answers epoch, version and chain before and after, and the rules as they stand.

local history, rules, versions, ends, chains = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) -- ms

-- Who decided this has given up on the answer, and goes by its own clock: something may have
-- been decided since that must not be replaced by what lay on the way.
if tonumber(ARGV[3]) > 0 and now > tonumber(ARGV[3]) then
  return redis.error_reply('LATE the rules were too long on their way')
end

local function text(number) return string.format('%.0f', number) end

local state = redis.call('HMGET', history, 'epoch', 'version', 'chain', 'count')
local epoch, version, chain = state[1] or '', tonumber(state[2] or 0) or 0, state[3] or ''
local count = tonumber(state[4] or 0)
if redis.call('HLEN', rules) ~= count or redis.call('ZCARD', versions) ~= count or redis.call('ZCARD', ends) ~= count then
  epoch, version, chain = '', 0, '' -- a part was lost, as where Redis evicts what will run out
end
local before = { epoch, text(version), chain }
if epoch == '' then redis.call('DEL', rules, versions, ends, chains) end -- left of a history that is lost

-- stored is what there is of a rule; nil where that can't be read, or is none.
local function stored(id)
  local ok, rule = pcall(cjson.decode, redis.call('HGET', rules, id) or '')
  if not ok or type(rule) ~= 'table' then return nil end
  for _, name in ipairs({ 'set', 'until', 'keep' }) do
    if type(rule[name]) ~= 'number' then return nil end
  end
  return rule
end

-- newer says whether a takes the place of b; the same as in book.go.
local function newer(a, b)
  if a['set'] ~= b['set'] then return a['set'] > b['set'] end
  if a['until'] ~= b['until'] then return a['until'] > b['until'] end
  return a['value'] and not b['value']
end

local function json(rule, rest)
  return '{"version":' .. text(version) .. ',"set":' .. text(rule['set']) .. ',"until":' .. text(rule['until']) ..
    ',"keep":' .. text(rule['keep']) .. ',"value":' .. tostring(rule['value'] == true) .. ',' .. rest
end

-- store gives a rule the next version, and the history its next link.
local function store(id, rule, rest)
  if epoch == '' then epoch, version, chain = ARGV[2], 0, '' end
  version = version + 1
  local payload = json(rule, rest)
  chain = redis.sha1hex(chain .. payload)
  redis.call('HSET', rules, id, payload)
  redis.call('ZADD', versions, text(version), id)
  redis.call('ZADD', ends, text(rule['keep']), id)
  redis.call('RPUSH', chains, chain)
  return payload
end

local over = redis.call('ZRANGE', ends, '-inf', text(now - tonumber(ARGV[4])), 'BYSCORE', 'LIMIT', 0, 1000)
if #over > 0 then
  redis.call('HDEL', rules, unpack(over))
  redis.call('ZREM', versions, unpack(over))
  redis.call('ZREM', ends, unpack(over))
end

local function counted() redis.call('HSET', history, 'count', redis.call('HLEN', rules)) end
if #over > 0 and epoch ~= '' then counted() end

local stand, changed = {}, {}
for i = 6, #ARGV, 7 do
  local id, rest = ARGV[i], ARGV[i + 6]
  local rule = {
    ['set'] = tonumber(ARGV[i + 1]), ['until'] = tonumber(ARGV[i + 3]), ['keep'] = tonumber(ARGV[i + 4]),
    ['value'] = ARGV[i + 5] == 'true',
  }
  local old = stored(id)
  if rule['set'] == 0 then
    rule['set'] = math.max(now, tonumber(ARGV[i + 2]), old and old['set'] + 1 or 0)
  end
  local keep = math.max(rule['keep'], old and old['keep'] or 0)
  local one = rule
  if old and not newer(rule, old) then one = old end
  if keep + tonumber(ARGV[4]) <= now then
    table.insert(stand, json(rule, rest)) -- it is over for all
  elseif old and one == old and keep == old['keep'] then
    table.insert(stand, redis.call('HGET', rules, id))
  else
    one['keep'] = keep
    local payload = store(id, one, rest)
    table.insert(stand, payload)
    table.insert(changed, payload)
  end
end

if #changed > 0 then
  redis.call('LTRIM', chains, -tonumber(ARGV[5]), -1)
  redis.call('HSET', history, 'epoch', epoch, 'version', text(version), 'chain', chain)
  counted()
  local last = redis.call('ZRANGE', ends, -1, -1, 'WITHSCORES')
  for _, name in ipairs(KEYS) do
    redis.call('PEXPIREAT', name, text(tonumber(last[2]) + tonumber(ARGV[4])))
  end
  -- An epoch and a chain may be empty, and are words nevertheless.
  redis.call('SPUBLISH', ARGV[1], '=' .. before[1] .. ' ' .. before[2] .. ' =' .. before[3] .. ' =' .. epoch .. ' ' ..
    text(version) .. ' =' .. chain .. ' [' .. table.concat(changed, ',') .. ']')
end

local answer = { before[1], before[2], before[3], epoch, text(version), chain }
for _, payload in ipairs(stand) do table.insert(answer, payload) end
return answer
