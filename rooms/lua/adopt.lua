-- The members of a dead pod become this one's, to linger. 7: the dead pod, 8: this
-- pod, 9: a prefix for their new owners. Answers id, owner and user of each, that as in the body.
local adopted = {}
local all = redis.call('HGETALL', holds)
for i = 1, #all, 2 do
  local id, held = all[i], hold_of(all[i])
  if held.pod == ARGV[7] then
    local owner = ARGV[9] .. i
    -- Adopted before by a pod that is dead now too: it is still the first owner who may
    -- turn out to live.
    local was = held.was ~= '-' and held.was or held.owner
    hold(id, owner, held.seq, held.joined, ARGV[8], was)
    note('T ' .. owner .. ' ' .. ARGV[8] .. ' ' .. was .. ' ' .. id)
    table.insert(adopted, id)
    table.insert(adopted, owner)
    table.insert(adopted, string.match(redis.call('HGET', members, id) or '', '^%S+ (%S+) ') or '=')
  end
end
if #adopted > 0 then save() end
return adopted
