-- Registers a user of an engine, and returns whether it is the only one.
-- KEYS: 1 users by expiry  2 time of the first registration, number of changes of the last one that
--       joined, and that one
-- ARGV: 1 user  2 ms until it expires; 0: it does not use the engine any more; -1: the engine has no
--       user yet, but will soon
-- Returns {1 if it joined just now, 1 if it is surely the only one, ms for which it has been the
--          only one known; then time of the first registration, number of changes}.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local counts = tonumber(ARGV[2])
if counts == 0 then return redis.call('ZREM', KEYS[1], ARGV[1]) end
redis.call('HSETNX', KEYS[2], 'since', now)
redis.call('PEXPIRE', KEYS[2], 86400000)
if counts < 0 then return 0 end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local joined = redis.call('ZADD', KEYS[1], now + counts, ARGV[1])
if redis.call('HGET', KEYS[2], 'last') ~= ARGV[1] and joined == 1 then
  redis.call('HINCRBY', KEYS[2], 'came', 1)
  redis.call('HSET', KEYS[2], 'last', ARGV[1])
end
local since = tonumber(redis.call('HGET', KEYS[2], 'since'))
redis.call('PEXPIRE', KEYS[1], 86400000)
-- A Redis that has lost its data does not know the other users yet.
local lone = redis.call('ZCARD', KEYS[1]) == 1
local alone = lone and now - since >= counts
return {joined, alone and 1 or 0, lone and now - since or 0, since, redis.call('HGET', KEYS[2], 'came')}
