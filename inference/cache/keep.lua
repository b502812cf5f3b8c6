-- Keeps an answer, and within its tenant's part what is kept: the oldest goes first.
-- KEYS: prefix of the tenant's keys. ARGV: name, data, ms, most bytes, subject, model, flight, ms
-- alone; without data nothing is kept. Whoever waits for this answer (`f:`) need not wait any longer:
-- it is here, or it was this request that was to bring it. Where it ended without one that can be
-- kept, the others would not bring one either: for `ms alone` nobody waits for anybody.
local prefix, name, data = KEYS[1], ARGV[1], ARGV[2]
local index, about, flight = prefix .. ':index', prefix .. ':about', prefix .. ':f:' .. name

local function not_kept()
    if redis.call('GET', flight) == ARGV[7] then
        if tonumber(ARGV[8]) > 0 then
            redis.call('SET', flight, 'alone', 'PX', ARGV[8])
        else
            redis.call('DEL', flight)
        end
    end
    return 0
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
    return not_kept()
end
local t = redis.call('TIME')
local now, ttl = t[1] * 1000 + math.floor(t[2] / 1000), tonumber(ARGV[3])
for _, one in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, 100)) do
    drop(one)
end
drop(name)
local size, most = #data, tonumber(ARGV[4])
if size > most then
    return not_kept()
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
    return not_kept()
end
redis.call('DEL', flight)
redis.call('SET', prefix .. ':e:' .. name, data, 'PX', ttl)
redis.call('ZADD', index, now + ttl, name)
redis.call('HSET', about, name, size .. '|' .. ARGV[5] .. '|' .. ARGV[6])
redis.call('HINCRBY', about, 'bytes', size)
redis.call('PEXPIRE', index, ttl)
redis.call('PEXPIRE', about, ttl)
return 1
