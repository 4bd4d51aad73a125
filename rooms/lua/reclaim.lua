-- A pod says which members it has. 7: the pod's name, 8: its names before, between spaces;
-- then of each member id, owner, the owner from whom that took it ("*": whoever has it in the
-- same session), sequence, "live", "new" (it joined anew, and Redis
-- can't have heard of that) or "lingers", body, and the newest sequence that the body
-- knows of: what came in after it was sent is newer.
-- Answers a word for each: kept, joined, taken, removed, lost; then id and owner of each
-- member that Redis thinks the pod has, and that it didn't name.
if not follows() then return { 'astray' } end
local pod, before = ARGV[7], ARGV[8]
local answer, listed = { 'ok' }, {}

local function same_session(id, body)
  local who = '^(%S+ %S+ %S+) '
  return string.match(redis.call('HGET', members, id) or '', who) == string.match(body, who)
end

for i = 9, #ARGV, 7 do
  local id, owner, from, seq, live, body = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3]), ARGV[i + 4], ARGV[i + 5]
  local knows = tonumber(ARGV[i + 6])
  listed[id] = true
  local held = hold_of(id)
  if held and (held.owner == owner or held.was == owner or held.owner == from or held.was == from
      or from == '*' and same_session(id, body)) then
    local its = held.owner == owner or held.was == owner -- what the hold counts; who adopted it did nothing
    local newest = its and math.max(seq, held.seq) or seq
    local moved = held.owner ~= owner or held.pod ~= pod
    hold(id, owner, newest, held.joined, pod, '-')
    if moved then note('T ' .. owner .. ' ' .. pod .. ' - ' .. id) end -- for good, as the hold says
    local older = its and held.seq > knows
    if not older and redis.call('HGET', members, id) ~= body then update(id, owner, newest, body) end
    table.insert(answer, 'kept')
  elseif held then
    table.insert(answer, 'taken')
  elseif is_removed(id) and live ~= 'new' then -- what was removed is the one before
    table.insert(answer, 'removed')
  elseif live == 'lingers' then
    table.insert(answer, 'lost')
  else
    join(id, owner, seq, pod, body)
    table.insert(answer, 'joined')
  end
end
save()
for _, id in ipairs(redis.call('HKEYS', holds)) do
  local held = hold_of(id)
  local mine = held.pod == pod or string.find(before, ' ' .. held.pod .. ' ', 1, true)
  if mine and held.was == '-' and not listed[id] then
    table.insert(answer, id)
    table.insert(answer, held.owner)
  end
end
return answer
