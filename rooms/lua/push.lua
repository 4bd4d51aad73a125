-- What was done on a pod without Redis, in its order. 7: the pod's fork; then of each step
-- kind, id, owner, sequence and payload: "S" is a signal, "M" one that may have come in already, and
-- "A" one that is in the log, of which is noted that the fork told it. "L" is a leaving; its payload is the reason.
-- All of it is taken, and what is in the log already isn't appended again.
if not follows() then return { 'astray' } end
local fork = ARGV[7]

-- in_log says what the log has of a step: nil, 'S', or 'A' where it is noted as the fork's.
local known
local function in_log(owner, seq)
  if not known then
    known = {}
    for _, entry in ipairs(redis.call('XRANGE', log, '-', '+')) do
      local kind, who, number, told = string.match(entry[2][2], '^([SA]) (%S+) (%d+) (%S+)')
      if kind == 'A' then told = string.match(entry[2][2], '^A %S+ %d+ %- (%S+)') end
      if kind then
        local step = who .. ' ' .. number
        known[step] = (told == fork or known[step] == 'A') and 'A' or 'S'
      end
    end
  end
  return known[owner .. ' ' .. seq]
end

-- sent: it may have come in already. Then the hold doesn't say so for sure, since its member may have been
-- given up meanwhile and have joined anew.
local function signal(sent, id, owner, seq, payload)
  local held = hold_of(id)
  if held and held.owner == owner and tonumber(seq) > held.seq and not (sent and in_log(owner, seq)) then
    hold(id, owner, tonumber(seq), held.joined, held.pod, held.was)
    append(payload)
    return
  end
  local there = in_log(owner, seq)
  if there == 'A' then return end
  if not there and not (held and held.owner == owner) then
    append(payload) -- its member is somebody else's by now, or gone
  else
    append('A ' .. owner .. ' ' .. seq .. ' - ' .. fork .. ' ' .. string.match(payload, '^%a %S+ %d+ %S+ (%d+)'))
  end
  known[owner .. ' ' .. seq] = 'A'
end

for i = 8, #ARGV, 5 do
  local kind, id, owner, seq, payload = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  if kind == 'S' or kind == 'M' then
    signal(kind == 'M', id, owner, seq, payload)
  elseif kind == 'A' then
    if in_log(owner, seq) ~= 'A' then
      append(payload)
      known[owner .. ' ' .. seq] = 'A'
    end
  elseif kind == 'W' then
    append(payload)
  else
    local held = hold_of(id)
    if held and (held.owner == owner or held.was == owner) then leave(id, payload) end
  end
end
rest()
return { 'ok', where() }
