-- Puts a running item back after Redis has lost its data, unless another runner has it by now.
-- KEYS: 1 pool prefix   ARGV: 1 item  2 order (encrypted)  3 runner id  4 lease ms
local p, item = KEYS[1], ARGV[1]
local id = string.match(item, '([^|]*)$')
if redis.call('HSETNX', p .. ':orders', id, ARGV[2]) == 0 then
  return redis.call('ZSCORE', p .. ':leases', item) and 1 or 0
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZADD', p .. ':leases', now + tonumber(ARGV[4]), item)
redis.call('HSET', p .. ':on', id, ARGV[3])
local estimate, weight, class, tenant = string.match(item, '^%d+|(%d+)|(%d+)|([^|]*)|([^|]*)|')
begins(p, class, tenant, now)
local counter = redis.call('HINCRBYFLOAT', p .. ':' .. class .. ':counters', tenant,
  at_first(estimate) / tonumber(weight))
redis.call('ZADD', p .. ':' .. class .. ':active', 'XX', counter, tenant)
return 1
