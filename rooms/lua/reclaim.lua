-- A pod says which members it has, and what it doesn't have but is down for goes.
-- 7: the pod's name, 8: its names before, between spaces, 9: ids that are just
-- coming, between spaces; then of each member id, owner, the owner from whom that took
-- it ("*": whoever has it in the same session), sequence, "live" or "lingers", and body.
-- Answers a word for each: kept, joined, taken, removed, lost.
if not follows() then return { 'astray' } end
local pod, before, coming = ARGV[7], ARGV[8], ARGV[9]
local answer, listed = { 'ok' }, {}

local function same_session(id, body)
  local who = '^(%S+ %S+ %S+) '
  return string.match(redis.call('HGET', members, id) or '', who) == string.match(body, who)
end

for i = 10, #ARGV, 6 do
  local id, owner, from, seq, live, body = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3]), ARGV[i + 4], ARGV[i + 5]
  listed[id] = true
  local held = hold_of(id)
  if held and (held.owner == owner or held.was == owner or held.owner == from or held.was == from
      or from == '*' and same_session(id, body)) then
    local newest = held.owner == owner and math.max(seq, held.seq) or seq
    local moved = held.owner ~= owner or held.pod ~= pod
    hold(id, owner, newest, held.joined, pod, '-')
    if moved then note('T ' .. owner .. ' ' .. pod .. ' ' .. held.owner .. ' ' .. id) end
    if redis.call('HGET', members, id) ~= body then update(id, owner, newest, body) end
    table.insert(answer, 'kept')
  elseif held then
    table.insert(answer, 'taken')
  elseif is_removed(id) then
    table.insert(answer, 'removed')
  elseif live ~= 'live' then
    table.insert(answer, 'lost')
  else
    join(id, owner, seq, pod, body)
    table.insert(answer, 'joined')
  end
end
save()
local all = redis.call('HKEYS', holds)
for _, id in ipairs(all) do
  local held = hold_of(id)
  local mine = held.pod == pod or string.find(before, ' ' .. held.pod .. ' ', 1, true)
  if mine and held.was == '-' and not listed[id] and not string.find(coming, ' ' .. id .. ' ', 1, true) then
    leave(id, 'lost')
  end
end
return answer
