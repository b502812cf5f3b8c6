-- A request is over: its lease ends, and its tenant pays what it really took.
-- KEYS: 1 pool prefix   ARGV: 1 item  2 cost in tokens  3 0: nothing was charged while it ran
-- Returns 1 when the lease was still held, 0 when it had been lost. Runs any number of times.
local p, item = KEYS[1], ARGV[1]
local estimate, weight, class, tenant, id =
  string.match(item, '^%d+|(%d+)|(%d+)|([^|]*)|([^|]*)|(.*)$')
local known = redis.call('HDEL', p .. ':orders', id)
if redis.call('HDEL', p .. ':on', id) < known then -- it has not begun, or was to begin again
  waits_no_more(p, id)
end
if redis.call('ZREM', p .. ':leases', item) == 0 then return 0 end
ends(p, class, tenant)
local before = ARGV[3] == '0' and at_first(estimate) or charged(p, id, estimate)
local change = (tonumber(ARGV[2]) - before) / tonumber(weight)
local counter = redis.call('HINCRBYFLOAT', p .. ':' .. class .. ':counters', tenant, change)
redis.call('ZADD', p .. ':' .. class .. ':active', 'XX', counter, tenant)
return 1
