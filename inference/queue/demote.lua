-- Moves waiting requests to a lower class, in their order, behind those of their tenant there.
-- KEYS: 1 pool prefix   ARGV: 1 new class  2 requeued items to examine in each line  3.. items
-- An item of unknown attempt has 1 for it: a requeued one is near its line's head.
-- Returns 1 for each moved item, 0 for one that runs, is over, or is not in its line.
local p, to, out = KEYS[1], ARGV[1], {}

local function taken_from(line, item)
  if redis.call('LREM', line, -1, item) == 1 then return item end
  local tail = string.match(item, '^%d+(|.*)$')
  for _, other in ipairs(redis.call('LRANGE', line, -ARGV[2], -1)) do
    if string.match(other, '^%d+(|.*)$') == tail then
      redis.call('LREM', line, -1, other)
      return other
    end
  end
end

-- A tenant that (re)joins is lifted to the lowest waiting one, as in enqueue.lua.
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

local function leave_if_empty(class, tenant)
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
  local waiting = taken_from(p .. ':' .. class .. ':line:' .. tenant, item)
  if not waiting then return 0 end
  local head = string.match(waiting, '^(%d+|%d+|%d+|)')
  join(to, tenant, head .. to .. '|' .. tenant .. '|' .. id)
  forget_warm(p, id) -- lower classes have no warm engines
  local aside = redis.call('HEXISTS', p .. ':aside', id) == 1
  waits_no_more(p, id)
  waits_below(p, id, to)
  if aside then redis.call('HSET', p .. ':aside', id, to .. '|' .. tenant) end
  leave_if_empty(class, tenant)
  return 1
end

for i = 3, #ARGV do out[#out + 1] = moved(ARGV[i]) end
return out
