-- Stores an answer, and deletes the oldest ones of its tenant beyond the tenant's bytes.
-- KEYS: prefix of the tenant's keys. ARGV: name, data, ms, most bytes, subject, model, flight, ms
-- alone; without data nothing is stored. This ends the flight (`f:`), for which others wait, if it
-- is this request's. If the answer cannot be stored, those of the others could not be either: for
-- `ms alone` no request waits for another.
local prefix, name, data = KEYS[1], ARGV[1], ARGV[2]
local index, about, flight = prefix .. ':index', prefix .. ':about', prefix .. ':f:' .. name

local function end_flight()
    if redis.call('GET', flight) == ARGV[7] then
        if tonumber(ARGV[8]) > 0 then
            redis.call('SET', flight, 'alone', 'PX', ARGV[8])
        else
            redis.call('DEL', flight)
        end
    end
    return 0
end

local function drop(each)
    local line = redis.call('HGET', about, each)
    if line then
        redis.call('HINCRBY', about, 'bytes', -tonumber(string.match(line, '^%d+')))
        redis.call('HDEL', about, each)
    end
    redis.call('ZREM', index, each)
    redis.call('UNLINK', prefix .. ':e:' .. each)
end

if data == '' then
    return end_flight()
end
local t = redis.call('TIME')
local now, ttl = t[1] * 1000 + math.floor(t[2] / 1000), tonumber(ARGV[3])
for _, expired in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, 100)) do
    drop(expired)
end
drop(name)
local size, most = #data, tonumber(ARGV[4])
if size > most then
    return end_flight()
end
-- A much smaller part takes several calls, since a script blocks Redis for all.
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
    return end_flight()
end
redis.call('DEL', flight)
redis.call('SET', prefix .. ':e:' .. name, data, 'PX', ttl)
redis.call('ZADD', index, now + ttl, name)
redis.call('HSET', about, name, size .. '|' .. ARGV[5] .. '|' .. ARGV[6])
redis.call('HINCRBY', about, 'bytes', size)
redis.call('PEXPIRE', index, ttl)
redis.call('PEXPIRE', about, ttl)
return 1
