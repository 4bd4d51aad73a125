-- 7: to, or '', 8: payload.
if not follows() then return { 'astray' } end
if redis.call('HLEN', holds) == 0 then return { 'empty' } end
if ARGV[7] ~= '' and redis.call('HEXISTS', holds, ARGV[7]) == 0 then return { 'nobody' } end
append(ARGV[8])
save()
return { 'ok', where() }
