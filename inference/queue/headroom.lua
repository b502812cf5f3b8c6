-- Keeps the last free slots of a pool for requests that may come next. The headroom of a class is
-- the number of slots that lower classes leave free while it has had requests lately (pop.lua). In
-- the class itself, tenants that run more than their part leave them free while another tenant,
-- active lately, does not wait. A slot whose request of a lower class may be preempted counts as
-- free for that.
-- For each class, `lately` has its tenants by their last start, and `runs` the leases of each. The
-- sweeper deletes old entries (sweep.lua).
-- A class may also have slots only for tenants with a weight of VIP_WEIGHT or more.
-- AHEAD is defined by fair_queue.py.
local LATELY_MS = 60000
local VIP_WEIGHT = 2
local MOST_LOOKED_AT = 64 -- tenants with the least service so far
local MOST_NEAR = 16 -- tenants that may be preferred to the first

local function begins(p, class, tenant, now)
  redis.call('HINCRBY', p .. ':' .. class .. ':runs', tenant, 1)
  redis.call('ZADD', p .. ':' .. class .. ':lately', now, tenant)
end

local function ends(p, class, tenant)
  local runs = p .. ':' .. class .. ':runs'
  if redis.call('HINCRBY', runs, tenant, -1) < 0 then
    redis.call('HDEL', runs, tenant) -- an earlier version started it, without counting
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

-- Returns the first tenant that may have the slots for VIPs; nil if none is near its turn.
local function next_vip(p, class)
  local active = redis.call('ZRANGE', p .. ':' .. class .. ':active', 0, MOST_LOOKED_AT - 1)
  for i, tenant in ipairs(active) do
    if weight_of_next(p, class, tenant) >= VIP_WEIGHT then return tenant end
  end
end

-- Returns the waiting tenant whose turn it is; nil if none of them may have the free slots. A tenant
-- is preferred to the first only within the charge of one request's start.
local function next_tenant(p, class, rank, slots, headroom, now)
  local active, lately = p .. ':' .. class .. ':active', p .. ':' .. class .. ':lately'
  local first = redis.call('ZRANGE', active, 0, 0, 'WITHSCORES')
  local free = slots - redis.call('HLEN', p .. ':on')
  if free > headroom then return first[1] end
  local back = redis.call('ZCOUNT', p .. ':parkable', rank * RANK, '+inf')
    + redis.call('ZCARD', p .. ':parking')
  if free + back > headroom then return first[1] end
  local recent = redis.call('ZCOUNT', lately, now - LATELY_MS, '+inf')
  if recent < 2 then return first[1] end
  local near = redis.call('ZRANGEBYSCORE', active, '-inf', first[2] + AHEAD, 'LIMIT', 0, MOST_NEAR)
  local runs = redis.call('HMGET', p .. ':' .. class .. ':runs', unpack(near))
  local part = math.max(1, slots / recent)
  for i, tenant in ipairs(near) do
    if (runs[i] or 0) + 1 <= part then return tenant end
  end
  if recent <= redis.call('ZCARD', active) then return first[1] end -- no other tenant is expected
end
