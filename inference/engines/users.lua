-- Somebody says that they use an engine, and hear whether anybody else does.
-- KEYS: 1 who uses it, by when that is forgotten  2 since when this is known, how often somebody came
--       who was not the last to come, and who that was
-- ARGV: 1 who  2 ms until that is forgotten; 0: they use the engine no more; -1: nobody uses it yet,
--       but soon somebody will
-- Returns {1 when they came just now, 1 when they are surely the only one, ms for which it has
--          known nobody else; then since, how often}.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local counts = tonumber(ARGV[2])
if counts == 0 then return redis.call('ZREM', KEYS[1], ARGV[1]) end
redis.call('HSETNX', KEYS[2], 'since', now)
redis.call('PEXPIRE', KEYS[2], 86400000)
if counts < 0 then return 0 end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local came = redis.call('ZADD', KEYS[1], now + counts, ARGV[1])
if redis.call('HGET', KEYS[2], 'last') ~= ARGV[1] and came == 1 then
  redis.call('HINCRBY', KEYS[2], 'came', 1)
  redis.call('HSET', KEYS[2], 'last', ARGV[1])
end
local since = tonumber(redis.call('HGET', KEYS[2], 'since'))
redis.call('PEXPIRE', KEYS[1], 86400000)
-- A Redis that has lost its data does not know yet who else is there.
local lone = redis.call('ZCARD', KEYS[1]) == 1
local alone = lone and now - since >= counts
return {came, alone and 1 or 0, lone and now - since or 0, since, redis.call('HGET', KEYS[2], 'came')}
