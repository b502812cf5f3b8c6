-- The pace at which requests of a pool start while others wait. pop.lua stores it as a flag and five
-- doubles (expected_wait.py reads them):
--   flag    after the last pop: 0: a slot is free, 1: none is, 2: none is, and some wait
--   at      time of the last change in ms
--   starts, busy (ms)   decaying sums; their ratio is the time of one start
--   first   without a known pace: how many ran when no slot was left, less the starts since; until
--           all of them are over, their duration is unknown
--   begun   starts while others waited: how far the line has moved
local MEMORY_MS = 30000
local FREE, FULL, WAITS = 0, 1, 2
local SHAPE = '<Bddddd'

-- Records that a runner started `starting` requests; `flag` is the pool's state afterwards.
local function keep_pace(p, now, starting, flag)
  local stored = redis.call('GET', p .. ':pace')
  local before = stored and string.byte(stored, 1) or FREE
  if flag == FREE and before == FREE then return end
  local at, starts, busy, first, begun = now, 0, 0, 0, 0
  if stored then before, at, starts, busy, first, begun = struct.unpack(SHAPE, stored) end
  -- A pool without runners must not seem slow for ever.
  local passed = math.max(0, math.min(now - at, 4 * MEMORY_MS))
  if before == FULL and flag == FULL and starts > 0 then return end
  -- Without a known pace, the time that a pool is full is a lower bound of its requests' duration.
  local counts = before == WAITS or (before == FULL and flag == WAITS and starts == 0)
  if counts or flag == WAITS then
    local weight = math.exp(-math.min(passed / MEMORY_MS, 1)) -- the pace stays over idle times
    starts, busy, at = starts * weight, busy * weight, now
  end
  if counts then
    starts, busy, begun = starts + starting, busy + passed, begun + starting
    first = math.max(0, first - starting)
  elseif starts == 0 and flag ~= FREE then
    busy, first, at = 0, redis.call('HLEN', p .. ':on'), now
  end
  redis.call('SET', p .. ':pace', struct.pack(SHAPE, flag, at, starts, busy, first, begun))
end
