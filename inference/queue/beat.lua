-- Registers that a runner lives, and renews the leases of its items.
-- KEYS: 1 pool prefix   ARGV: 1 runner id  2 mode: beat, renew, leave or stop
--                             3 its free slots: 1 for all classes, 2 not for all, 0 none
--                             4 lease ms  5 number of classes, 6.. their names
--                             after them the items that it runs
-- beat  -> {1 when work waits, epoch ('' when Redis has lost its data), items whose lease is gone...}
-- renew -> the same, but the runner does not count as available, since it takes no more work
-- leave -> {1 when it may go, 0 when work has arrived meanwhile}
-- stop  -> {1}: it goes even if work waits
local p, runner, mode = KEYS[1], ARGV[1], ARGV[2]
local lives = p .. ':lives:' .. (string.match(runner, '^(.*)%-') or '') -- by engine, for enqueue.lua
local waits = 0
local items = 6 + tonumber(ARGV[5])
for i = 6, items - 1 do
  if redis.call('EXISTS', p .. ':' .. ARGV[i] .. ':active') == 1 then waits = 1 end
end

if mode == 'leave' or mode == 'stop' then
  if mode == 'leave' and waits == 1 then return {0} end
  redis.call('SREM', p .. IDLE, runner)
  redis.call('SREM', p .. PARTLY_IDLE, runner)
  redis.call('DEL', p .. ':inbox:' .. runner, lives)
  if redis.call('GET', p .. ':runner') == runner then redis.call('DEL', p .. ':runner') end
  return {1}
end

if mode == 'beat' then
  redis.call('SET', p .. ':runner', runner, 'PX', 1500)
  redis.call('SET', lives, 1, 'PX', 1500)
  if ARGV[3] ~= '0' then
    redis.call('SADD', p .. (ARGV[3] == '2' and PARTLY_IDLE or IDLE), runner)
  end
end
local clock = redis.call('TIME')
local deadline = clock[1] * 1000 + math.floor(clock[2] / 1000) + tonumber(ARGV[4])
local out = {waits, redis.call('GET', p .. ':epoch') or ''}
for i = items, #ARGV do
  if redis.call('ZSCORE', p .. ':leases', ARGV[i]) then
    redis.call('ZADD', p .. ':leases', deadline, ARGV[i])
  else
    out[#out + 1] = ARGV[i]
  end
end
return out
