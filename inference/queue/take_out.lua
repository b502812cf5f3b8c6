-- Takes a waiting request out of the queue. KEYS: 1 pool prefix   ARGV: 1 request id
-- Returns 1 if it does not run, 0 if a runner has it.
local p, id = KEYS[1], ARGV[1]
if redis.call('HEXISTS', p .. ':on', id) == 1 then return 0 end
forget_warm(p, id)
if redis.call('HDEL', p .. ':orders', id) == 1 then waits_no_more(p, id) end
return 1
