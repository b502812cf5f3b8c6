-- Keeps an answer, and within its tenant's part what is kept: the oldest goes first.
-- KEYS: prefix of the tenant's keys. ARGV: name, data, ms, most bytes, subject, model, request;
-- without data nothing is kept. Whoever waits for this answer (`f:`) need not wait any longer: it is
-- here, or it was this request that was to bring it.
local prefix, name, data = KEYS[1], ARGV[1], ARGV[2]
local index, about = prefix .. ':index', prefix .. ':about'
if data ~= '' or redis.call('GET', prefix .. ':f:' .. name) == ARGV[7] then
    redis.call('DEL', prefix .. ':f:' .. name)
end

local function drop(one)
    local told = redis.call('HGET', about, one)
    if told then
        redis.call('HINCRBY', about, 'bytes', -tonumber(string.match(told, '^%d+')))
        redis.call('HDEL', about, one)
    end
    redis.call('ZREM', index, one)
    redis.call('UNLINK', prefix .. ':e:' .. one)
end

if data == '' then
    return 0
end
local t = redis.call('TIME')
local now, ttl = t[1] * 1000 + math.floor(t[2] / 1000), tonumber(ARGV[3])
for _, one in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, 100)) do
    drop(one)
end
drop(name)
local size, most = #data, tonumber(ARGV[4])
if size > most then
    return 0
end
-- Where its part has become far smaller, this takes several turns: everybody waits for a script.
local function is_full()
    return tonumber(redis.call('HGET', about, 'bytes') or 0) + size > most
end
for _, oldest in ipairs(is_full() and redis.call('ZRANGE', index, 0, 199) or {}) do
    drop(oldest)
    if not is_full() then
        break
    end
end
if is_full() and redis.call('ZCARD', index) > 0 then
    return 0
end
redis.call('SET', prefix .. ':e:' .. name, data, 'PX', ttl)
redis.call('ZADD', index, now + ttl, name)
redis.call('HSET', about, name, size .. '|' .. ARGV[5] .. '|' .. ARGV[6])
redis.call('HINCRBY', about, 'bytes', size)
redis.call('PEXPIRE', index, ttl)
redis.call('PEXPIRE', about, ttl)
return 1
