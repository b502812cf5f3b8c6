-- Cancels a request. KEYS: 1 pool prefix   ARGV: 1 request id   2 'waits': a running one goes on
-- Returns 'running' (its runner got a note), 'queued' (removed: the caller settles it), 'gone'.
local p, id = KEYS[1], ARGV[1]
if ARGV[2] == 'waits' and redis.call('HEXISTS', p .. ':on', id) == 1 then return 'running' end
redis.call('SET', p .. ':cancelled:' .. id, 1, 'EX', 60) -- in case it has to run again
local runner = redis.call('HGET', p .. ':on', id)
if runner then
  redis.call('LPUSH', p .. ':inbox:' .. runner, 'cancel ' .. id)
  redis.call('PEXPIRE', p .. ':inbox:' .. runner, 5000)
  return 'running'
end
if redis.call('HDEL', p .. ':orders', id) == 0 then return 'gone' end
forget_warm(p, id)
waits_no_more(p, id)
return 'queued'
