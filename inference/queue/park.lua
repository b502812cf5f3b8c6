-- Preempts a request: it gives its slot to a higher class and waits again. Its runner calls this.
-- KEYS: 1 pool prefix
-- ARGV: 1 verb  2 item  3 when it began, in ms  4 what it has cost since then
--       5 how often it has been parked, this time included
--       6.. the classes that go before its own, the highest first
-- offer -> 1: it may be parked from now on; 0: it had an exceptional turn, and runs to its end
-- ask   -> 1: a request still waits for its slot, or too many run beside a higher class; 0: neither,
--          and it may be chosen again
-- stay  -> 1: it cannot be parked; another one is chosen instead
-- over  -> 1: it has ended
-- park  -> 1: it waits again, at the head of its line; 0: its lease had been lost
local p, verb, item = KEYS[1], ARGV[1], ARGV[2]
local estimate, weight, class, tenant, id =
  string.match(item, '^%d+|(%d+)|(%d+)|([^|]*)|([^|]*)|(.*)$')
local member = class .. '|' .. tenant .. '|' .. id
local parkable, parking = p .. ':parkable', p .. ':parking'
local above = {}
for i = 6, #ARGV do above[#above + 1] = ARGV[i] end

local function offer()
  redis.call('ZREM', parking, member)
  redis.call('ZADD', parkable, #above * RANK + tonumber(ARGV[3]), member)
end

if verb == 'offer' then
  if redis.call('DEL', p .. ':turn:' .. id) == 1 then return 0 end
  offer()
  push_out(p, above, 1)
  return 1
end
if verb == 'ask' then
  redis.call('ZADD', parking, now_ms(), member)
  if is_squeezed(p) or wait_above(p, above) >= redis.call('ZCARD', parking) then return 1 end
  offer()
  return 0
end
-- A repeated call, because the answer was lost: by now the same item may run elsewhere.
local done = p .. ':parked:' .. id .. ':' .. ARGV[5]
if verb == 'park' and redis.call('EXISTS', done) == 1 then return 0 end
redis.call('ZREM', parkable, member)
redis.call('ZREM', parking, member)
if verb == 'stay' then push_out(p, above, 1) end
if verb ~= 'park' then return 1 end

if redis.call('ZREM', p .. ':leases', item) == 0 then return 0 end
ends(p, class, tenant)
redis.call('SET', done, 1, 'PX', 60000)
remember_cancelled(p, id)
redis.call('HDEL', p .. ':on', id)
local change = (tonumber(ARGV[4]) - reported(p, id, estimate)) / tonumber(weight)
if redis.call('HEXISTS', p .. ':orders', id) == 0 then return 0 end
local counter = redis.call('HINCRBYFLOAT', p .. ':' .. class .. ':counters', tenant, change)
redis.call('RPUSH', p .. ':' .. class .. ':line:' .. tenant, item)
redis.call('ZADD', p .. ':' .. class .. ':active', counter, tenant)
waits_below(p, id, class)
redis.call('HSET', p .. ':aside', id, class .. '|' .. tenant)
-- The request that took its slot may be over already, and its runner idle.
if not wake(p, IDLE) then wake(p, PARTLY_IDLE) end
return 1
