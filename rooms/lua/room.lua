-- What every script of a room begins with.
-- KEYS: the room's head, members, holds, log and removed; see redis_keys.go.
-- ARGV: 1 channel, 2 length, 3 age in ms and 4 bytes of the log,
--       5 epoch and 6 position that the pod has seen; then the script's own.

local head, members, holds, log, removed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local channel = ARGV[1]
local max_length, max_age, max_bytes = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local seen_epoch, seen_position = ARGV[5], tonumber(ARGV[6])

-- n counts entries, c what is told of beside them (whose a member is now). Their
-- sum is the position: it goes up by one with every message on the channel.
local state = redis.call('HMGET', head, 'epoch', 'n', 'c', 'at', 'bytes', 'mark')
local epoch = state[1] or ''
local n, c = tonumber(state[2] or 0), tonumber(state[3] or 0)
local at, bytes = tonumber(state[4] or 0), tonumber(state[5] or 0)
local mark = state[6] or '-' -- the owner in the newest of the notes that c counts

local overhead = 384 -- of an entry; the same as in log.go

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) -- ms

local function text(number) return string.format('%.0f', number) end

-- follows says whether the pod knows this log, or none. A pod that has seen more
-- than there is looks at a copy that lagged when it took over.
local function follows()
  return seen_epoch == '' or (seen_epoch == epoch and seen_position <= n + c)
end

local function begin(new_epoch)
  epoch, n, c, bytes, mark = new_epoch, 0, 0, 0, '-'
  redis.call('DEL', log)
end

local function save()
  redis.call('HSET', head, 'epoch', epoch, 'n', text(n), 'c', text(c), 'at', text(at), 'bytes', text(bytes), 'mark', mark)
end

-- trim drops what is over the limits, the oldest first. Mostly it is a few entries or none;
-- after a quiet time it may be all of them.
local function trim()
  local kept, look = redis.call('XLEN', log), 32
  while kept > 0 do
    local drop = {}
    for _, oldest in ipairs(redis.call('XRANGE', log, '-', '+', 'COUNT', look)) do
      local stamp = tonumber(string.match(oldest[1], '^%d+'))
      if kept <= max_length and bytes <= max_bytes and at - stamp < max_age then break end
      table.insert(drop, oldest[1])
      bytes = bytes - #oldest[2][2] - overhead
      kept = kept - 1
    end
    if #drop > 0 then redis.call('XDEL', log, unpack(drop)) end
    if #drop < look then return end
    look = 256
  end
end

-- where is the header of a message: epoch, position, n and time.
local function where() return string.format('%s %.0f %.0f %.0f', epoch, n + c, n, at) end

-- publish tells all pods that follow.
local function publish(payload)
  redis.call('SPUBLISH', channel, where() .. ' ' .. payload)
end

-- append gives payload the next number, keeps it, and publishes it.
local function append(payload)
  n = n + 1
  at = math.max(at, now)
  if max_length > 0 and max_age > 0 and max_bytes > 0 then
    redis.call('XADD', log, text(at) .. '-' .. text(n), 'e', payload)
    bytes = bytes + #payload + overhead
    if n % 16 == 0 or bytes > max_bytes then trim() end -- to look costs as much as to append
  end
  publish(payload)
end

-- note publishes what is no entry of the log.
local function note(payload)
  c = c + 1
  mark = string.match(payload, '^%a (%S+)') or '-'
  publish(payload)
end

-- A hold is whose a member is: owner, its last sequence, the number of its
-- joining, pod, and the owner before where a pod that reaped adopted it.
local function hold_of(id)
  local line = redis.call('HGET', holds, id)
  if not line then return nil end
  local owner, seq, joined, pod, was = string.match(line, '^(%S+) (%d+) (%d+) (%S+) (%S+)$')
  return { owner = owner, seq = tonumber(seq), joined = joined, pod = pod, was = was }
end

local function hold(id, owner, seq, joined, pod, was)
  redis.call('HSET', holds, id, owner .. ' ' .. text(seq) .. ' ' .. joined .. ' ' .. pod .. ' ' .. was)
end

local function join(id, owner, seq, pod, body)
  if redis.call('HLEN', holds) == 0 then
    redis.call('PERSIST', head)
    redis.call('PERSIST', log)
  end
  redis.call('ZREM', removed, id)
  redis.call('HSET', members, id, body)
  append('J ' .. owner .. ' ' .. text(seq) .. ' ' .. pod .. ' ' .. body)
  hold(id, owner, seq, text(n), pod, '-')
end

-- update replaces a body: with an entry for those who follow, unless only its rights are others.
local function update(id, owner, seq, body)
  local who, data = '^(%S+ %S+ %S+ %S+) ', '^%S+ %S+ %S+ %S+ %S+ (.*)$'
  local was = redis.call('HGET', members, id) or ''
  local unseen = string.match(was, who) == string.match(body, who) and string.match(was, data) == string.match(body, data)
  redis.call('HSET', members, id, body)
  append((unseen and 'G ' or 'U ') .. owner .. ' ' .. text(seq) .. ' ' .. body)
end

-- rest saves the head. Where nobody is in the room its time begins to run out.
local function rest()
  save()
  if redis.call('HLEN', holds) > 0 then return end
  if max_age > 0 then
    redis.call('PEXPIRE', head, ARGV[3])
    redis.call('PEXPIRE', log, ARGV[3])
  else
    redis.call('DEL', head, log)
  end
end

-- leave takes a member out, and answers what it published; "given-up" is lost too: it was waited
-- for in vain.
local function leave(id, reason)
  local body = redis.call('HGET', members, id) or ''
  local name, user = string.match(body, '^(%S+) (%S+) ')
  redis.call('HDEL', members, id)
  redis.call('HDEL', holds, id)
  local payload = 'L ' .. reason .. ' ' .. (name or '=') .. ' ' .. (user or '=')
  append(payload)
  return payload
end

local function is_removed(id)
  local until_ = redis.call('ZSCORE', removed, id)
  return until_ and tonumber(until_) > now
end
