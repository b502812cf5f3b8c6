-- KEYS: 1 the states of all engines that have trouble  2 stream of changes
-- Returns {now in ms, id of the latest change, engine, state, engine, state, ...}.
local clock = redis.call('TIME')
local latest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
local out = {clock[1] * 1000 + math.floor(clock[2] / 1000), latest and latest[1] or '0'}
for _, word in ipairs(redis.call('HGETALL', KEYS[1])) do out[#out + 1] = word end
return out
