-- The cost of a request for its tenant so far, in tokens. At its start it is charged its estimate,
-- AHEAD at most: few answers come near their limits. charge.lua adds to that as tokens arrive, and a
-- hash has the sum by the request's id. A script that ends a lease settles `charged`.
-- AHEAD is defined by fair_queue.py.

local function at_first(estimate) return math.min(tonumber(estimate), AHEAD) end

-- Returns the charge so far, to be refunded or corrected, and forgets it.
local function charged(p, id, estimate)
  local sum = redis.call('HGET', p .. ':charged', id)
  if not sum then return at_first(estimate) end
  redis.call('HDEL', p .. ':charged', id)
  return tonumber(sum)
end
