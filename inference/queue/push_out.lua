-- Chooses running requests of lower classes for preemption when a higher one waits and no slot is
-- free. Two sorted sets have `class|tenant|id`: candidates, which runners offer (by class, then by
-- start), and those whose runner got a note (by its time).
local NOTE_MS = 10000 -- a note may be lost: then another request is chosen
-- A key `squeezed` has for that long how many of the lower classes may run (lower_slots of a pool).
local MOST = 256 -- candidates to compare

local function now_ms()
  local clock = redis.call('TIME')
  return clock[1] * 1000 + math.floor(clock[2] / 1000)
end

-- Returns the waiting requests of the classes `above`, the highest first.
local function wait_above(p, above)
  local waiting = redis.call('HLEN', p .. ':orders') - redis.call('HLEN', p .. ':on')
    - redis.call('HLEN', p .. ':lower')
  for i = 2, #above do waiting = waiting + (redis.call('HGET', p .. ':waiting', above[i]) or 0) end
  return waiting
end

-- Returns the newest candidate of the lowest class, of the tenant with the most service for its weight.
local function victim(p, rank)
  local last = redis.call('ZREVRANGE', p .. ':parkable', 0, 0, 'WITHSCORES')
  local lowest = last[2] and math.floor(tonumber(last[2]) / RANK) or -1
  if lowest < rank then return end
  local chosen, most, counters = nil, nil, {}
  for _, each in ipairs(redis.call('ZREVRANGEBYSCORE', p .. ':parkable', '+inf', lowest * RANK,
      'LIMIT', 0, MOST)) do
    local class, tenant = string.match(each, '^([^|]*)|([^|]*)|')
    counters[tenant] = counters[tenant]
      or tonumber(redis.call('HGET', p .. ':' .. class .. ':counters', tenant) or 0)
    if not most or counters[tenant] > most then chosen, most = each, counters[tenant] end
  end
  return chosen
end

-- Sends `lacking` requests below the `rank`th class a note to give up their slots.
local function preempt(p, rank, lacking, now)
  while lacking > 0 do
    local each = victim(p, rank)
    if not each then return end
    redis.call('ZREM', p .. ':parkable', each)
    local id = string.match(each, '([^|]*)$')
    local runner = redis.call('HGET', p .. ':on', id)
    if runner then -- else its runner has died
      redis.call('ZADD', p .. ':parking', now, each)
      redis.call('LPUSH', p .. ':inbox:' .. runner, 'park ' .. id)
      redis.call('PEXPIRE', p .. ':inbox:' .. runner, 5000)
      lacking = lacking - 1
    end
  end
end

-- Preempts up to `most` requests, one for each that waits in the classes `above`.
local function push_out(p, above, most)
  local there = redis.call('EXISTS', p .. IDLE, p .. IDLE, p .. ':parkable')
  if there ~= 1 then return end -- a runner has a free slot, or there is no candidate
  local now = now_ms()
  redis.call('ZREMRANGEBYSCORE', p .. ':parking', '-inf', now - NOTE_MS)
  local lacking = math.min(most, wait_above(p, above) - redis.call('ZCARD', p .. ':parking'))
  preempt(p, #above, lacking, now)
end

-- Preempts all but `most` of the classes below this rank, as far as they can be.
local function squeeze(p, rank, most)
  local excess = redis.call('ZCOUNT', p .. ':parkable', rank * RANK, '+inf') - most
  if excess <= 0 then return end
  redis.call('SET', p .. ':squeezed', most, 'PX', NOTE_MS)
  preempt(p, rank, excess, now_ms())
end

-- Returns whether more run than may; the one that asks is among those with a note.
local function is_squeezed(p)
  local most = tonumber(redis.call('GET', p .. ':squeezed') or nil)
  return most and redis.call('ZCARD', p .. ':parkable') + redis.call('ZCARD', p .. ':parking') > most
end
