-- 7: id, 8: owner, 9: pod, 10: body, 11: most members or 0, 12: an epoch for a new log.
if not follows() then return { 'astray' } end
local held = hold_of(ARGV[7])
if held and held.owner == ARGV[8] then return { 'done' } end
if held then return { 'there' } end
local most = tonumber(ARGV[11])
if most > 0 and redis.call('HLEN', holds) >= most then return { 'full' } end
if epoch == '' then begin(ARGV[12]) end
join(ARGV[7], ARGV[8], 0, ARGV[9], ARGV[10])
save()
return { 'ok', where() }
