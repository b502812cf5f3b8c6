-- Puts a request into its tenant's line, once. KEYS: 1 pool prefix
-- ARGV: 1 class  2 tenant  3 request id  4 item  5 order (encrypted)  6 place: 'tail' or 'head'
--       7 '', or for how long it is left to its warm engine (0: to none), and its hashes
--         (prefix_hashes.py): `ms|own|shorter ones|affinity`
--       8.. the classes that go before this one, the highest first
-- Returns {1} when an idle runner has been woken: it has a free slot; with the name of its warm engine
-- behind that if that one has no runner and should be woken. Else {awake, pace (pace.lua),
-- running requests, requests in its tenant's line, tenants waiting in its class, requests waiting in
-- each of those classes, and in its own, including itself};
-- awake: 1 if a runner is, 0 when the caller must publish a wake-up, 2 when somebody else did.
local p, class, tenant, id, item = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local active, counters = p .. ':' .. class .. ':active', p .. ':' .. class .. ':counters'
local line = p .. ':' .. class .. ':line:' .. tenant

local SHORT = 8 -- in a shorter line a tenant may get slots that others must leave free (headroom.lua)
local length = SHORT

local joins = redis.call('HSETNX', p .. ':orders', id, ARGV[5]) == 1
if joins then
  if ARGV[8] then waits_below(p, id, class) end
  length = redis.call(ARGV[6] == 'head' and 'RPUSH' or 'LPUSH', line, item)
  if length == 1 then
    -- The tenant (re)joins: lift its counter to the lowest active one, so that being idle earns
    -- no credit (VTC, arXiv 2401.00588, algorithm 2).
    local own = tonumber(redis.call('HGET', counters, tenant) or 0)
    local lowest = redis.call('ZRANGE', active, 0, 0, 'WITHSCORES')
    local floor = tonumber(lowest[2] or redis.call('GET', p .. ':' .. class .. ':floor') or 0)
    local counter = math.max(own, floor)
    if counter > own then redis.call('HSET', counters, tenant, tostring(counter)) end
    redis.call('ZADD', active, tostring(counter), tenant)
  end
end

local left_ms, own, shorter, affinity = string.match(ARGV[7], '^(%d+)|(%x+)|([%x ]*)|(%x*)$')
local has_prefixes = joins and own and not ARGV[8]
local warm, now = '', false
if has_prefixes then
  local hashes = {}
  for hash in string.gmatch(own .. ' ' .. shorter .. ' ' .. affinity, '%x+') do
    hashes[#hashes + 1] = hash
  end
  now = now_ms()
  warm = left_ms == '0' and '' or warm_engine(p, tenant, hashes, now)
end
local woken = wake(p, IDLE, warm)
local promised = woken and engine_of(woken) == warm
if has_prefixes then
  if promised then leave_to_warm(p, id, now + left_ms, now) end
  local ends = promised and string.format('%d', now + left_ms) or ''
  keep_prefixes(p, id, ends, promised and 1 or 0, own .. ' ' .. affinity, warm)
end

-- Returns whether no runner of the engine lives, and nobody has been asked to wake one lately.
local function sleeps(engine)
  return redis.call('EXISTS', p .. ':lives:' .. engine) == 0
    and redis.call('SET', p .. ':called:' .. engine, 1, 'NX', 'PX', 1000)
end

if woken then
  return {1, warm ~= '' and not promised and sleeps(warm) and warm or nil}
end
local perhaps = length <= SHORT and wake(p, PARTLY_IDLE, warm) -- it begins if the free slots are kept for it

-- Each key counts once, twice or four times, so that the sum tells which exist in one command.
local parkable = p .. ':parkable'
local there, lower = redis.call('EXISTS', p .. ':lower', p .. ':lower', p .. ':runner',
  parkable, parkable, parkable, parkable), 0
if there >= 4 then
  there = there - 4
  if joins and not perhaps then -- else pop.lua does it
    local above = {unpack(ARGV, 8)}
    above[#above + 1] = class
    push_out(p, above, 1)
  end
end
local awake = 1
if there % 2 == 0 then
  awake = redis.call('SET', p .. ':called', 1, 'NX', 'PX', 1000) and 0 or 2
end
if there >= 2 then lower = redis.call('HLEN', p .. ':lower') end
local on = redis.call('HLEN', p .. ':on')
local highest = redis.call('HLEN', p .. ':orders') - on - lower
local own = joins and length or redis.call('LLEN', line)
local out = {awake, redis.call('GET', p .. ':pace') or '', on, own, redis.call('ZCARD', active), highest}
for i = 9, #ARGV do out[#out + 1] = redis.call('HGET', p .. ':waiting', ARGV[i]) or 0 end
if ARGV[8] then out[#out + 1] = redis.call('HGET', p .. ':waiting', class) or 0 end
return out
