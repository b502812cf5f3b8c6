-- Restores tenants' recent service from usage after Redis has lost its data, once in an epoch.
-- KEYS: 1 pool prefix   ARGV: 1 epoch  2 class  3 tenant  4 tokens for its weight  5 the next class ...
local p = KEYS[1]
if redis.call('GET', p .. ':epoch') ~= ARGV[1] then return 0 end
if redis.call('HSETNX', p .. ':compared', 'recounted', 1) == 0 then return 0 end
for i = 2, #ARGV, 3 do
  local counter =
    redis.call('HINCRBYFLOAT', p .. ':' .. ARGV[i] .. ':counters', ARGV[i + 1], ARGV[i + 2])
  redis.call('ZADD', p .. ':' .. ARGV[i] .. ':active', 'XX', counter, ARGV[i + 1])
end
return 1
