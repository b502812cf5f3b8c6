-- Who runs in a lower class makes room when a higher one waits and no slot is free. Two sorted sets
-- hold `class|tenant|id`: those that may be parked (by class, then by when they began; runners
-- offer them), and those that have been told to (by when).
local TOLD_MS = 10000 -- a note may be lost: then another one is told
-- A key `squeezed` holds for as long how many lower classes may run (lower_slots of a pool).
local MOST = 256 -- that are compared

local function now_ms()
  local clock = redis.call('TIME')
  return clock[1] * 1000 + math.floor(clock[2] / 1000)
end

-- Requests that wait in the classes `above`, the highest first.
local function wait_above(p, above)
  local waiting = redis.call('HLEN', p .. ':orders') - redis.call('HLEN', p .. ':on')
    - redis.call('HLEN', p .. ':lower')
  for i = 2, #above do waiting = waiting + (redis.call('HGET', p .. ':waiting', above[i]) or 0) end
  return waiting
end

-- Of the lowest class, the newest of the tenant that has had most for its weight.
local function victim(p, rank)
  local last = redis.call('ZREVRANGE', p .. ':parkable', 0, 0, 'WITHSCORES')
  local lowest = last[2] and math.floor(tonumber(last[2]) / RANK) or -1
  if lowest < rank then return end
  local found, most, known = nil, nil, {}
  for _, each in ipairs(redis.call('ZREVRANGEBYSCORE', p .. ':parkable', '+inf', lowest * RANK,
      'LIMIT', 0, MOST)) do
    local class, tenant = string.match(each, '^([^|]*)|([^|]*)|')
    known[tenant] = known[tenant]
      or tonumber(redis.call('HGET', p .. ':' .. class .. ':counters', tenant) or 0)
    if not most or known[tenant] > most then found, most = each, known[tenant] end
  end
  return found
end

-- Tells so many below the `rank`th class to make room.
local function tell(p, rank, lacking, now)
  while lacking > 0 do
    local each = victim(p, rank)
    if not each then return end
    redis.call('ZREM', p .. ':parkable', each)
    local id = string.match(each, '([^|]*)$')
    local runner = redis.call('HGET', p .. ':on', id)
    if runner then -- else it was taken from a runner that died
      redis.call('ZADD', p .. ':parking', now, each)
      redis.call('LPUSH', p .. ':inbox:' .. runner, 'park ' .. id)
      redis.call('PEXPIRE', p .. ':inbox:' .. runner, 5000)
      lacking = lacking - 1
    end
  end
end

-- Tells up to `most` to make room for who waits in the classes `above`: one for each of them.
local function push_out(p, above, most)
  local there = redis.call('EXISTS', p .. ':parked', p .. ':parked', p .. ':parkable')
  if there ~= 1 then return end -- a runner has a free slot, or nobody can be parked
  local now = now_ms()
  redis.call('ZREMRANGEBYSCORE', p .. ':parking', '-inf', now - TOLD_MS)
  local lacking = math.min(most, wait_above(p, above) - redis.call('ZCARD', p .. ':parking'))
  tell(p, #above, lacking, now)
end

-- Leaves `most` of the classes below this rank running, as far as the others can be parked.
local function squeeze(p, rank, most)
  local excess = redis.call('ZCOUNT', p .. ':parkable', rank * RANK, '+inf') - most
  if excess <= 0 then return end
  redis.call('SET', p .. ':squeezed', most, 'PX', TOLD_MS)
  tell(p, rank, excess, now_ms())
end

-- Whether more run than may: the one that asks is among those that were told.
local function is_squeezed(p)
  local most = tonumber(redis.call('GET', p .. ':squeezed') or nil)
  return most and redis.call('ZCARD', p .. ':parkable') + redis.call('ZCARD', p .. ':parking') > most
end
