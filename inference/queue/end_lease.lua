-- Ends the lease of a request that is over, and corrects its tenant's counter.
-- KEYS: 1 pool prefix   ARGV: 1 item  2 cost in tokens  3 0: nothing was reported while it ran
-- Returns 1 if it still had the lease, 0 if that had been lost. It may be repeated.
local p, item = KEYS[1], ARGV[1]
local estimate, weight, class, tenant, id =
  string.match(item, '^%d+|(%d+)|(%d+)|([^|]*)|([^|]*)|(.*)$')
local had_order = redis.call('HDEL', p .. ':orders', id)
if redis.call('HDEL', p .. ':on', id) < had_order then -- it has not begun, or waited again
  forget_warm(p, id)
  waits_no_more(p, id)
end
if redis.call('ZREM', p .. ':leases', item) == 0 then return 0 end
ends(p, class, tenant)
local before = ARGV[3] == '0' and at_first(estimate) or reported(p, id, estimate)
local change = (tonumber(ARGV[2]) - before) / tonumber(weight)
local counter = redis.call('HINCRBYFLOAT', p .. ':' .. class .. ':counters', tenant, change)
redis.call('ZADD', p .. ':' .. class .. ':active', 'XX', counter, tenant)
return 1
