-- Wakes one of the idle `runners`: ':parked' have a slot for all classes, ':keeping' not for all.
-- Returns whether there was one.
local function wake(p, runners)
  local runner = redis.call('SPOP', p .. runners)
  if not runner then return false end
  redis.call('LPUSH', p .. ':inbox:' .. runner, 'wake')
  redis.call('PEXPIRE', p .. ':inbox:' .. runner, 5000)
  return true
end
