-- The cost of a request for its tenant so far, in tokens. At its start it is counted with its estimate,
-- AHEAD at most: few answers come near their limits. report_work.lua adds to that as tokens arrive, and a
-- hash has the sum by the request's id. A script that ends a lease corrects the counter by `reported`.
-- AHEAD is defined by fair_queue.py.

local function at_first(estimate) return math.min(tonumber(estimate), AHEAD) end

-- Returns the sum so far, to be refunded or corrected, and forgets it.
local function reported(p, id, estimate)
  local sum = redis.call('HGET', p .. ':charged', id)
  if not sum then return at_first(estimate) end
  redis.call('HDEL', p .. ':charged', id)
  return tonumber(sum)
end
