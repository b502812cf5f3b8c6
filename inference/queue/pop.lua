-- Hands out up to n requests: classes in strict order, inside a class the tenant that has had the
-- least for its weight, inside a tenant first come first served.
-- KEYS: 1 pool prefix   ARGV: 1 n  2 lease ms  3 runner id
--   4 '' for strict order, else of each class its minimum share in thousandths and its ageing in ms
--   5.. names of classes, the highest first
-- Returns {item, order, item, order, ...}; fewer than n means that the runner is now parked.
local p, n, runner = KEYS[1], tonumber(ARGV[1]), ARGV[3]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local deadline = now + tonumber(ARGV[2])
local out = {}
local orders, leases, on = p .. ':orders', p .. ':leases', p .. ':on'
local more = false -- wait that were not taken, as far as is known

-- Hands out up to `most` requests of a class. Returns how many there were.
local function take(class, most)
  local active, counters = p .. ':' .. class .. ':active', p .. ':' .. class .. ':counters'
  local taken = 0
  while taken < most do
    local tenant = redis.call('ZRANGE', active, 0, 0)[1]
    if not tenant then break end
    local line = p .. ':' .. class .. ':line:' .. tenant
    local item = redis.call('RPOP', line)
    local order, counter = false, false
    if item then
      -- item: attempt|estimate|weight|class|tenant|id
      local estimate, weight, id = string.match(item, '^%d+|(%d+)|(%d+)|[^|]*|[^|]*|(.*)$')
      order = redis.call('HGET', orders, id)
      -- Else it was cancelled while it waited, or stands in its line twice and runs already: it was
      -- moved to another pool and back. Nothing to run, nothing to charge.
      if order and redis.call('HSETNX', on, id, runner) == 1 then
        counter = redis.call('HINCRBYFLOAT', counters, tenant, tonumber(estimate) / tonumber(weight))
        redis.call('ZADD', leases, deadline, item)
        if class ~= ARGV[5] then waits_no_more(p, id) end
        out[#out + 1] = item
        out[#out + 1] = order
        taken = taken + 1
      end
    end
    counter = counter or redis.call('HGET', counters, tenant) or '0'
    if redis.call('LLEN', line) == 0 then
      redis.call('ZREM', active, tenant)
      redis.call('SET', p .. ':' .. class .. ':floor', counter)
      more = false
    else
      redis.call('ZADD', active, counter, tenant)
      more = true
    end
  end
  n = n - taken
  return taken
end

-- The same with turns of lower classes. Of those that wait, a hash keeps what they are owed in
-- thousandths of a request, and since when they have had no turn.
local function take_turns()
  local lower, rank = {}, 0
  for share, ageing in string.gmatch(ARGV[4], '(%d+)|(%d+)') do
    rank = rank + 1
    if rank > 1 and (share ~= '0' or ageing ~= '0') then
      lower[#lower + 1] = {name = ARGV[4 + rank], rank = rank, share = tonumber(share),
        ageing = tonumber(ageing), owed = 0, since = now}
    end
  end

  local function waits(class) return redis.call('EXISTS', p .. ':' .. class .. ':active') == 1 end

  local function read()
    for _, l in ipairs(lower) do
      l.waits = waits(l.name)
      local kept = l.waits and redis.call('HGET', p .. ':turns', l.name)
      if kept then
        local owed, since = string.match(kept, '^(%d+)|(%d+)$')
        l.owed, l.since = tonumber(owed), math.min(now, tonumber(since)) -- a clock may be set back
      end
    end
  end

  local function write()
    for _, l in ipairs(lower) do
      if l.waits then
        redis.call('HSET', p .. ':turns', l.name, string.format('%d|%d', l.owed, l.since))
      else
        redis.call('HDEL', p .. ':turns', l.name)
      end
    end
  end

  -- The class below this rank whose turn it is all the same.
  local function before(higher)
    for _, l in ipairs(lower) do
      if l.waits and l.rank > higher then
        if l.owed + l.share >= 1000 then return l.name end
        if l.ageing > 0 and l.rank - math.floor((now - l.since) / l.ageing) <= higher then
          return l.name
        end
      end
    end
  end

  local function turn(class)
    local taken = take(class, 1)
    for _, l in ipairs(lower) do
      if l.waits then l.owed = l.owed + taken * l.share end
      if l.name == class then
        if taken == 1 then l.owed, l.since = math.max(0, l.owed - 1000), now end
        l.waits = waits(class)
      end
    end
    return taken
  end

  read()
  for c = 5, #ARGV do
    while n > 0 do
      local first = before(c - 4)
      if turn(first or ARGV[c]) == 0 and not first then break end
    end
  end
  write()
end

if ARGV[4] == '' then
  for c = 5, #ARGV do
    if n == 0 then break end
    take(ARGV[c], n)
  end
else
  take_turns()
end

if n > 0 then redis.call('SADD', p .. ':parked', runner) end
more = more or n == 0 and redis.call('HLEN', orders) > redis.call('HLEN', on)
keep_pace(p, now, #out / 2, n > 0 and FREE or more and WAITS or FULL)
return out
