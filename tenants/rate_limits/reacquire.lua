-- Redis has lost its data: a request that is in progress takes its places again.
-- KEYS: 1 clock  2 the tenant's requests in progress  3 the key's
-- ARGV: 1 request id  2 ms  3 bytes of its body
for i = 2, 3 do
  redis.call('ZADD', KEYS[i], now + tonumber(ARGV[2]), ARGV[1])
  keep(KEYS[i], ARGV[2])
  take_off({heavy = tonumber(ARGV[3]) > LIGHT, places = KEYS[i]}, ARGV[1], ARGV[3], ARGV[2])
end
return 1
