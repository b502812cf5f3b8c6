-- The last free slots of a pool are for who may come next. A class has its headroom: so many slots
-- are left free by lower classes while it has had requests lately (pop.lua), and in itself by those
-- tenants that run more than their part while another one that was active lately does not wait. To
-- them a slot is free, too, whose request of a lower class may be parked.
-- Of each class `lately` has its tenants by when they last began something, and `runs` how many
-- leases each of them has. The sweeper forgets what is old (sweep.lua).
-- A class may also have slots that only tenants with a weight of VIP_WEIGHT or more begin in.
-- AHEAD stands before this (fair_queue.py).
local LATELY_MS = 60000
local VIP_WEIGHT = 2
local MOST_LOOKED_AT = 64 -- tenants: who has had less than so many others is among them
local MOST_NEAR = 16 -- tenants that are looked at for whose turn it is

local function begins(p, class, tenant, now)
  redis.call('HINCRBY', p .. ':' .. class .. ':runs', tenant, 1)
  redis.call('ZADD', p .. ':' .. class .. ':lately', now, tenant)
end

local function ends(p, class, tenant)
  local runs = p .. ':' .. class .. ':runs'
  if redis.call('HINCRBY', runs, tenant, -1) < 0 then
    redis.call('HDEL', runs, tenant) -- an earlier version began it, and did not count
  end
end

local function comes_lately(p, class, now)
  if redis.call('EXISTS', p .. ':' .. class .. ':active') == 1 then return true end
  local last = redis.call('ZREVRANGE', p .. ':' .. class .. ':lately', 0, 0, 'WITHSCORES')[2]
  return last and now - tonumber(last) < LATELY_MS
end

local function weight_of_next(p, class, tenant)
  local item = redis.call('LINDEX', p .. ':' .. class .. ':line:' .. tenant, -1)
  return item and tonumber(string.match(item, '^%d+|%d+|(%d+)|')) or 0
end

-- The first one that may have the slots for VIPs; nil where none is near its turn.
local function vips_turn(p, class)
  local active = redis.call('ZRANGE', p .. ':' .. class .. ':active', 0, MOST_LOOKED_AT - 1)
  for i, tenant in ipairs(active) do
    if weight_of_next(p, class, tenant) >= VIP_WEIGHT then return tenant end
  end
end

-- Of the tenants that wait, whose turn it is; nil where none of them may have what is free. Their
-- order stays: who is preferred is not further than one request is charged as it begins.
local function whose_turn(p, class, rank, slots, headroom, now)
  local active, lately = p .. ':' .. class .. ':active', p .. ':' .. class .. ':lately'
  local first = redis.call('ZRANGE', active, 0, 0, 'WITHSCORES')
  local free = slots - redis.call('HLEN', p .. ':on')
  if free > headroom then return first[1] end
  local back = redis.call('ZCOUNT', p .. ':parkable', rank * RANK, '+inf')
    + redis.call('ZCARD', p .. ':parking')
  if free + back > headroom then return first[1] end
  local come = redis.call('ZCOUNT', lately, now - LATELY_MS, '+inf')
  if come < 2 then return first[1] end
  local near = redis.call('ZRANGEBYSCORE', active, '-inf', first[2] + AHEAD, 'LIMIT', 0, MOST_NEAR)
  local runs = redis.call('HMGET', p .. ':' .. class .. ':runs', unpack(near))
  local part = math.max(1, slots / come)
  for i, tenant in ipairs(near) do
    if (runs[i] or 0) + 1 <= part then return tenant end
  end
  if come <= redis.call('ZCARD', active) then return first[1] end -- nobody else is to come
end
