-- Requests that wait go to a lower class, in their order, behind what waits there of their tenant.
-- KEYS: 1 pool prefix   ARGV: 1 the class to go to  2 requeued ones to look at in each line  3.. items
-- An item whose attempt is not known has 1 for it: one that came back stands at its line's head.
-- Returns 1 for each that has gone there, 0 for one that runs, is over, or stands in no such line.
local p, to, out = KEYS[1], ARGV[1], {}

local function stands_in(line, item)
  if redis.call('LREM', line, -1, item) == 1 then return item end
  local tail = string.match(item, '^%d+(|.*)$')
  for _, other in ipairs(redis.call('LRANGE', line, -ARGV[2], -1)) do
    if string.match(other, '^%d+(|.*)$') == tail then
      redis.call('LREM', line, -1, other)
      return other
    end
  end
end

-- Whoever (re)joins is lifted to the lowest that waits, as in enqueue.lua.
local function join(class, tenant, item)
  local active, counters = p .. ':' .. class .. ':active', p .. ':' .. class .. ':counters'
  if redis.call('LPUSH', p .. ':' .. class .. ':line:' .. tenant, item) > 1 then return end
  local own = tonumber(redis.call('HGET', counters, tenant) or 0)
  local lowest = redis.call('ZRANGE', active, 0, 0, 'WITHSCORES')
  local floor = tonumber(lowest[2] or redis.call('GET', p .. ':' .. class .. ':floor') or 0)
  local counter = math.max(own, floor)
  if counter > own then redis.call('HSET', counters, tenant, tostring(counter)) end
  redis.call('ZADD', active, tostring(counter), tenant)
end

local function left(class, tenant)
  local active = p .. ':' .. class .. ':active'
  if redis.call('LLEN', p .. ':' .. class .. ':line:' .. tenant) == 0 then
    redis.call('ZREM', active, tenant)
    local counter = redis.call('HGET', p .. ':' .. class .. ':counters', tenant) or '0'
    redis.call('SET', p .. ':' .. class .. ':floor', counter)
  end
end

local function moved(item)
  local class, tenant, id = string.match(item, '^%d+|%d+|%d+|([^|]*)|([^|]*)|(.*)$')
  if redis.call('HEXISTS', p .. ':orders', id) == 0 or redis.call('HEXISTS', p .. ':on', id) == 1 then
    return 0
  end
  local found = stands_in(p .. ':' .. class .. ':line:' .. tenant, item)
  if not found then return 0 end
  local head = string.match(found, '^(%d+|%d+|%d+|)')
  join(to, tenant, head .. to .. '|' .. tenant .. '|' .. id)
  local aside = redis.call('HEXISTS', p .. ':aside', id) == 1
  waits_no_more(p, id)
  waits_below(p, id, to)
  if aside then redis.call('HSET', p .. ':aside', id, to .. '|' .. tenant) end
  left(class, tenant)
  return 1
end

for i = 3, #ARGV do out[#out + 1] = moved(ARGV[i]) end
return out
