-- Counts the tokens of running items so far.
-- KEYS: 1 pool prefix   ARGV: 1 item  2 its cost in tokens up to now  3 the next item ...
-- An item without a lease belongs to another runner. Costs only rise here; end_lease.lua corrects them.
local p = KEYS[1]
for i = 1, #ARGV, 2 do
  local item, cost = ARGV[i], tonumber(ARGV[i + 1])
  local estimate, weight, class, tenant, id =
    string.match(item, '^%d+|(%d+)|(%d+)|([^|]*)|([^|]*)|(.*)$')
  local before = tonumber(redis.call('HGET', p .. ':charged', id)) or at_first(estimate)
  if cost > before and redis.call('ZSCORE', p .. ':leases', item) then
    redis.call('HSET', p .. ':charged', id, ARGV[i + 1])
    local counter = redis.call('HINCRBYFLOAT', p .. ':' .. class .. ':counters', tenant,
      (cost - before) / tonumber(weight))
    redis.call('ZADD', p .. ':' .. class .. ':active', 'XX', counter, tenant)
  end
end
return 1
