-- What a request has cost its tenant so far, in tokens. As it begins it is charged what it is likely
-- to take, AHEAD at most: few answers come near their limits. While its tokens come, charge.lua adds
-- to that, and a hash has the sum by the request's id. Whoever takes a lease back settles `charged`.
-- AHEAD stands before this (fair_queue.py).

local function at_first(estimate) return math.min(tonumber(estimate), AHEAD) end

-- What is to be given back, or put right: once.
local function charged(p, id, estimate)
  local known = redis.call('HGET', p .. ':charged', id)
  if not known then return at_first(estimate) end
  redis.call('HDEL', p .. ':charged', id)
  return tonumber(known)
end
