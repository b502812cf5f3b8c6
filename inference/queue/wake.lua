-- Returns the engine of a runner (occupancy.py: new_runner_id).
local function engine_of(runner) return string.match(runner, '^(.*)%-') end

-- Returns a runner of this engine among these idle ones.
local function idle_runner(p, runners, engine)
  for _, runner in ipairs(redis.call('SMEMBERS', p .. runners)) do
    if engine_of(runner) == engine then return runner end
  end
end

-- Wakes one of the idle `runners`, by preference of this engine ('': of any): IDLE ones have a slot for
-- all classes, PARTLY_IDLE ones not for all. Returns which one; nil if there was none.
local function wake(p, runners, engine)
  local runner = engine and engine ~= '' and idle_runner(p, runners, engine)
  if runner then
    redis.call('SREM', p .. runners, runner)
  else
    runner = redis.call('SPOP', p .. runners)
  end
  if not runner then return end
  redis.call('LPUSH', p .. ':inbox:' .. runner, 'wake')
  redis.call('PEXPIRE', p .. ':inbox:' .. runner, 5000)
  return runner
end
