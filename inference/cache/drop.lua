-- Deletes cached answers of a tenant: all of them, or those that a person asked for first.
-- KEYS: prefix of the tenant's keys. ARGV: the person, '' for everybody; then names.
-- Returns their number. A name that was deleted, or stored again for another person, since the list
-- was made is skipped: its bytes are counted already (keep.lua).
local about, count = KEYS[1] .. ':about', 0
for n = 2, #ARGV do
    local name = ARGV[n]
    local line = redis.call('HGET', about, name)
    local size, subject = string.match(line or '', '^(%d+)|(%x+)|')
    if size and (ARGV[1] == '' or ARGV[1] == subject) then
        redis.call('HDEL', about, name)
        redis.call('HINCRBY', about, 'bytes', -tonumber(size))
        redis.call('ZREM', KEYS[1] .. ':index', name)
        redis.call('UNLINK', KEYS[1] .. ':e:' .. name)
        count = count + 1
    end
end
return count
