-- A request is over, or goes no further: its places are free, and its buckets get back what it did
-- not take. Once: whoever comes second finds no place, and changes nothing.
-- KEYS: 1 clock  2 the address's latest requests  3 the tenant's buckets  4 its requests in progress
--       5 the key's buckets  6 its requests in progress
-- ARGV: 1 request id  2 tokens to give back (less than 0: it took more)  3 requests: 0, or 1 as if
--       it had never come  4 when the address was charged for it, 0: it stays charged
-- Returns 1, or 0 when nothing was held.
local tokens, requests = tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREM', KEYS[6], ARGV[1])
if redis.call('ZREM', KEYS[4], ARGV[1]) == 0 then return 0 end
if tonumber(ARGV[4]) > 0 then redis.call('LREM', KEYS[2], -1, ARGV[4]) end

local function pour(buckets)
  local kept = redis.call('HMGET', buckets, 'rate', 'size', 'per_minute')
  if not kept[1] then return end
  local o = {buckets = buckets, rate = tonumber(kept[1]), size = tonumber(kept[2]),
    per_minute = tonumber(kept[3]), requests = 0, tokens = 0}
  fill(o)
  o.requests = math.min(o.size, o.requests + requests)
  o.tokens = math.min(o.per_minute, o.tokens + tokens)
  keep(o)
end
if tokens ~= 0 or requests ~= 0 then
  pour(KEYS[3])
  pour(KEYS[5])
end
return 1
