-- Requeues the items of dead runners, and wakes a runner if work waits.
-- KEYS: 1 pool prefix   ARGV: 1 most leases to look at  2.. names of classes
-- Returns {1 when a wake-up must be published, ms since this epoch began, requests re-queued...}
local p = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('SET', p .. ':epoch', now, 'NX')
local requeued = {}

-- From the last to the first, since each goes to the head of its line: so their order stays.
local expired = redis.call('ZRANGEBYSCORE', p .. ':leases', '-inf', now, 'LIMIT', 0, ARGV[1])
for i = #expired, 1, -1 do
  local item = expired[i]
  redis.call('ZREM', p .. ':leases', item)
  local attempt, estimate, weight, class, tenant, id =
    string.match(item, '^(%d+)|(%d+)|(%d+)|([^|]*)|([^|]*)|(.*)$')
  redis.call('HDEL', p .. ':on', id)
  ends(p, class, tenant)
  local refund = reported(p, id, estimate) / tonumber(weight)
  local member = class .. '|' .. tenant .. '|' .. id
  redis.call('ZREM', p .. ':parkable', member)
  redis.call('ZREM', p .. ':parking', member)
  if redis.call('HEXISTS', p .. ':orders', id) == 1 then
    local counters, active = p .. ':' .. class .. ':counters', p .. ':' .. class .. ':active'
    local counter = redis.call('HINCRBYFLOAT', counters, tenant, -refund)
    redis.call('RPUSH', p .. ':' .. class .. ':line:' .. tenant,
      (attempt + 1) .. '|' .. estimate .. '|' .. weight .. '|' .. class .. '|' .. tenant .. '|' .. id)
    redis.call('ZADD', active, counter, tenant)
    if class ~= ARGV[2] then waits_below(p, id, class) end
    remember_cancelled(p, id)
    requeued[#requeued + 1] = id
  end
end

local waits, wake, idle = false, 0, redis.call('EXISTS', p .. ':leases') == 0
for i = 2, #ARGV do
  local lately = p .. ':' .. ARGV[i] .. ':lately'
  redis.call('ZREMRANGEBYSCORE', lately, '-inf', now - LATELY_MS)
  redis.call('ZREMRANGEBYSCORE', lately, '(' .. now, '+inf') -- the clock was set back
  if idle then redis.call('DEL', p .. ':' .. ARGV[i] .. ':runs') end
  if redis.call('EXISTS', p .. ':' .. ARGV[i] .. ':active') == 1 then
    waits = true
    if i > 2 then redis.call('SET', p .. ':below', 1) end
  end
end
if waits then
  local idle = redis.call('SPOP', p .. IDLE)
  if idle and redis.call('EXISTS', p .. ':runner') == 1 then
    redis.call('LPUSH', p .. ':inbox:' .. idle, 'wake')
    redis.call('PEXPIRE', p .. ':inbox:' .. idle, 5000)
  elseif redis.call('EXISTS', p .. ':runner') == 0
      and redis.call('SET', p .. ':called', 1, 'NX', 'PX', 1000) then
    wake = 1
  end
end
-- Preempts again: a note may be lost, or there was no candidate when a request joined.
if waits then
  for i = 3, #ARGV do push_out(p, {unpack(ARGV, 2, i - 1)}, MOST) end
end
local age = math.abs(now - tonumber(redis.call('GET', p .. ':epoch'))) -- also of a clock set back
local out = {wake, age}
for _, id in ipairs(requeued) do out[#out + 1] = id end
return out
