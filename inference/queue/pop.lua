-- Hands out up to n requests: classes in strict order, inside a class the tenant that has had the
-- least for its weight, inside a tenant first come first served.
-- KEYS: 1 pool prefix   ARGV: 1 n  2 lease ms  3 runner id  4.. classes
-- Returns {item, order, item, order, ...}; fewer than n means that the runner is now parked.
local p, n, runner = KEYS[1], tonumber(ARGV[1]), ARGV[3]
local clock = redis.call('TIME')
local deadline = clock[1] * 1000 + math.floor(clock[2] / 1000) + tonumber(ARGV[2])
local out = {}

for c = 4, #ARGV do
  local class = ARGV[c]
  local active, counters = p .. ':' .. class .. ':active', p .. ':' .. class .. ':counters'
  while n > 0 do
    local tenant = redis.call('ZRANGE', active, 0, 0)[1]
    if not tenant then break end
    local line = p .. ':' .. class .. ':line:' .. tenant
    local item = redis.call('RPOP', line)
    local order = false
    if item then
      -- item: attempt|estimate|weight|class|tenant|id
      local estimate, weight, id = string.match(item, '^%d+|(%d+)|(%d+)|[^|]*|[^|]*|(.*)$')
      order = redis.call('HGET', p .. ':orders', id)
      if order then -- else it was cancelled while it waited: nothing to run, nothing to charge
        redis.call('HINCRBYFLOAT', counters, tenant, tonumber(estimate) / tonumber(weight))
        redis.call('ZADD', p .. ':leases', deadline, item)
        redis.call('HSET', p .. ':on', id, runner)
        out[#out + 1] = item
        out[#out + 1] = order
        n = n - 1
      end
    end
    local counter = redis.call('HGET', counters, tenant) or '0'
    if redis.call('LLEN', line) == 0 then
      redis.call('ZREM', active, tenant)
      redis.call('SET', p .. ':' .. class .. ':floor', counter)
    else
      redis.call('ZADD', active, counter, tenant)
    end
  end
end

if n > 0 then redis.call('SADD', p .. ':parked', runner) end
return out
