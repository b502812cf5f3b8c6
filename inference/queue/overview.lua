-- Returns waiting and running requests of a pool, by class and tenant. It writes nothing, and its
-- bounds make a queue of any length cost about the same.
-- KEYS: 1 pool prefix   ARGV: 1 tenants to examine in all classes  2 lines to return for each class
--   3 running, or preempted, requests to examine  4 requests of a line to examine
--   5.. classes, the highest first
-- Returns {running requests,
--   {class, waiting requests, waiting tenants, id of the oldest request of the returned lines,
--    tenant, its waiting requests, id of its oldest, ...} ...,
--   {class, tenant, its running requests, ...}, {class, tenant, its preempted requests, ...}}
local p = KEYS[1]
local orders, on = p .. ':orders', p .. ':on'
local tenants, lines, runs, items = unpack(ARGV, 1, 4)
local tenants_left = tonumber(tenants)

-- A cancelled request stays in its line until its turn comes, but does not wait any more.
local function waits(item)
  local id = string.match(item, '([^|]*)$')
  return redis.call('HEXISTS', orders, id) == 1 and redis.call('HEXISTS', on, id) == 0 and id
end

local function oldest(line)
  for _, item in ipairs(redis.call('LRANGE', line, -5, -1)) do
    local id = waits(item)
    if id then return id end
  end
  return ''
end

local function counted(line, length)
  local n = math.min(length, tonumber(items))
  local there = length - n
  for _, item in ipairs(redis.call('LRANGE', line, -n, -1)) do
    if waits(item) then there = there + 1 end
  end
  return there
end

local function of_class(class, waiting)
  local active, rows, length = p .. ':' .. class .. ':active', {}, 0
  local out = {class, waiting, redis.call('ZCARD', active), ''}
  local looked = tenants_left > 0 and redis.call('ZRANGE', active, 0, tenants_left - 1) or {}
  tenants_left = tenants_left - #looked
  for _, tenant in ipairs(looked) do
    local line = p .. ':' .. class .. ':line:' .. tenant
    local n = redis.call('LLEN', line)
    rows[#rows + 1] = {tenant, n, line}
    length = length + n
  end
  table.sort(rows, function(a, b) return a[2] > b[2] or a[2] == b[2] and a[1] < b[1] end)
  for i = 1, math.min(#rows, tonumber(lines)) do
    local tenant, n, line = unpack(rows[i])
    local id = oldest(line)
    if length > waiting then n = counted(line, n) end
    if n > 0 then
      if id ~= '' and (out[4] == '' or id < out[4]) then out[4] = id end
      for _, part in ipairs({tenant, n, id}) do out[#out + 1] = part end
    end
  end
  return out
end

local function in_threes(count)
  local out = {}
  for key, n in pairs(count) do
    local class, tenant = string.match(key, '^(.*)|(.*)$')
    for _, part in ipairs({class, tenant, n}) do out[#out + 1] = part end
  end
  return out
end

local function running()
  local count = {}
  for _, item in ipairs(redis.call('ZRANGE', p .. ':leases', 0, runs - 1)) do
    local key = string.match(item, '^%d+|%d+|%d+|([^|]*|[^|]*)|')
    count[key] = (count[key] or 0) + 1
  end
  return in_threes(count)
end

local function parked()
  local count, aside = {}, redis.call('HSCAN', p .. ':aside', 0, 'COUNT', runs)[2]
  for i = 2, #aside, 2 do count[aside[i]] = (count[aside[i]] or 0) + 1 end
  return in_threes(count)
end

local out = {redis.call('ZCARD', p .. ':leases')}
local highest = redis.call('HLEN', orders) - redis.call('HLEN', on)
  - redis.call('HLEN', p .. ':lower')
for i = 5, #ARGV do
  local waiting = i == 5 and highest or redis.call('HGET', p .. ':waiting', ARGV[i]) or 0
  out[#out + 1] = of_class(ARGV[i], math.max(0, tonumber(waiting)))
end
out[#out + 1] = running()
out[#out + 1] = parked()
return out
