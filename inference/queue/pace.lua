-- How fast requests of a pool start while others wait. pop.lua keeps it, as a flag and five doubles
-- (expected_wait.py reads them):
--   flag    0: a slot is free, 1: none is, 2: none is, and some wait; as the last pop left it
--   at      of the last change in ms, starts and busy (ms): both decay alike; one start takes their
--           ratio
--   first   where no pace is known: how many ran when no slot was left, less those that have begun
--           since; until all of them are over, nobody knows how long they take
--   begun   while others waited: how far the line has moved
local MEMORY_MS = 30000
local FREE, FULL, WAITS = 0, 1, 2
local SHAPE = '<Bddddd'

-- A runner took `taken` requests, and left the pool as `flag` says.
local function keep_pace(p, now, taken, flag)
  local kept = redis.call('GET', p .. ':pace')
  local before = kept and string.byte(kept, 1) or FREE
  if flag == FREE and before == FREE then return end
  local at, starts, busy, first, begun = now, 0, 0, 0, 0
  if kept then before, at, starts, busy, first, begun = struct.unpack(SHAPE, kept) end
  -- A pool whose runners are gone must not look slow for ever.
  local passed = math.max(0, math.min(now - at, 4 * MEMORY_MS))
  if before == FULL and flag == FULL and starts > 0 then return end
  -- Where nothing is known, what runs in a full pool takes as long at least as it is full.
  local counts = before == WAITS or (before == FULL and flag == WAITS and starts == 0)
  if counts or flag == WAITS then
    local weight = math.exp(-math.min(passed / MEMORY_MS, 1)) -- the pace stays over idle times
    starts, busy, at = starts * weight, busy * weight, now
  end
  if counts then
    starts, busy, begun = starts + taken, busy + passed, begun + taken
    first = math.max(0, first - taken)
  elseif starts == 0 and flag ~= FREE then
    busy, first, at = 0, redis.call('HLEN', p .. ':on'), now
  end
  redis.call('SET', p .. ':pace', struct.pack(SHAPE, flag, at, starts, busy, first, begun))
end
