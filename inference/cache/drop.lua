-- Drops kept answers of a tenant: all of them, or those that a person asked for first.
-- KEYS: prefix of the tenant's keys. ARGV: the person, '' for everybody; then names.
-- Returns how many went. What was dropped, or kept anew for somebody else, since they were listed is
-- left alone: its bytes are counted already (keep.lua).
local about, went = KEYS[1] .. ':about', 0
for n = 2, #ARGV do
    local name = ARGV[n]
    local told = redis.call('HGET', about, name)
    local size, subject = string.match(told or '', '^(%d+)|(%x+)|')
    if size and (ARGV[1] == '' or ARGV[1] == subject) then
        redis.call('HDEL', about, name)
        redis.call('HINCRBY', about, 'bytes', -tonumber(size))
        redis.call('ZREM', KEYS[1] .. ':index', name)
        redis.call('UNLINK', KEYS[1] .. ':e:' .. name)
        went = went + 1
    end
end
return went
