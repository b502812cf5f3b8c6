-- Returns how many requests of its class begin before a waiting one, by the turns of the tenants and
-- their weights. Requests that join later are not known. It writes nothing.
-- KEYS: 1 pool prefix   ARGV: 1 class  2 tenant  3 request id
-- Returns -1 for a request that does not wait, or is too far behind in its tenant's line.
local p, tenant, wanted = KEYS[1], ARGV[2], ARGV[3]
local class = p .. ':' .. ARGV[1]
local OWN, OTHERS = 128, 16 -- items of a line that are read: Redis must not block for long

-- Returns the id of an item, and what its start counts: nothing for a cancelled one.
local function at_its_start(item)
  local estimate, weight, id = string.match(item, '^%d+|(%d+)|(%d+)|[^|]*|[^|]*|(.*)$')
  local waits = redis.call('HEXISTS', p .. ':orders', id) == 1 and redis.call('HEXISTS', p .. ':on', id) == 0
  return id, waits and at_first(estimate) / tonumber(weight)
end

-- The tenant's counter when its turn comes for the wanted request (pop.lua takes the lowest).
local counter = tonumber(redis.call('ZSCORE', class .. ':active', tenant) or '')
if not counter then return -1 end
local own = redis.call('LRANGE', class .. ':line:' .. tenant, -OWN, -1)
local ahead, is_there = 0, false
for n = #own, 1, -1 do
  local id, cost = at_its_start(own[n])
  if id == wanted then
    is_there = cost
    break
  elseif cost then
    ahead, counter = ahead + 1, counter + cost
  end
end
if not is_there then return -1 end

-- Counts the requests of another tenant that begin while its counter, now `theirs`, is lower.
local function begin_before(other, theirs)
  local line = class .. ':line:' .. other
  local items, begun, charged = redis.call('LRANGE', line, -OTHERS, -1), 0, 0
  for n = #items, 1, -1 do
    if theirs > counter or (theirs == counter and other > tenant) then return begun end
    local _, cost = at_its_start(items[n])
    if cost then begun, charged, theirs = begun + 1, charged + cost, theirs + cost end
  end
  local more = redis.call('LLEN', line) - #items
  if more <= 0 or begun == 0 or theirs > counter then return begun end
  return begun + math.min(more, math.ceil((counter - theirs) * begun / math.max(1, charged)))
end

local others = redis.call('ZRANGEBYSCORE', class .. ':active', '-inf', tostring(counter), 'WITHSCORES')
for i = 1, #others, 2 do
  if others[i] ~= tenant then ahead = ahead + begin_before(others[i], tonumber(others[i + 1])) end
end
return ahead
