-- Claims a worker's name for one host at a time.
-- KEYS: 1 the worker's place   ARGV: 1 the host  2 ms until the claim expires; 0: it leaves
-- Returns 1 if the place is, or was, this host's.
local has = redis.call('GET', KEYS[1])
if has and has ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
