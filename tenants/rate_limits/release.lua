-- A request is over, or goes no further: its places are free, and its buckets get back what it did
-- not take. Once: whoever comes second finds no place, and changes nothing.
-- KEYS: 1 clock  2 the address's latest requests  3 the tenant's buckets  4 its requests in progress
--       5 the key's buckets  6 its requests in progress
-- ARGV: 1 request id  2 tokens to give back (less than 0: it took more)  3 requests: 0, or 1 as if
--       it had never come  4 when the address was charged for it, 0: it stays charged
--       5 bytes that are not stored after all (less than 0: so many more are)  6 bytes of its body
-- Returns 1, or 0 when nothing was held.
local tokens, requests, bytes = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[5])
redis.call('ZREM', KEYS[6], ARGV[1])
if tonumber(ARGV[6]) > LIGHT then
  land(KEYS[4], ARGV[1])
  land(KEYS[6], ARGV[1])
end
if redis.call('ZREM', KEYS[4], ARGV[1]) == 0 then return 0 end
if tonumber(ARGV[4]) > 0 then redis.call('LREM', KEYS[2], -1, ARGV[4]) end

local function pour(buckets)
  local kept = kept_of(buckets)
  if not kept[1] then return end
  local o = {rate = kept[5], size = kept[6], per_minute = kept[7], per_day = kept[8]}
  fill(o, kept)
  o.requests = math.min(o.size, o.requests + requests)
  o.tokens = math.min(o.per_minute, o.tokens + tokens)
  o.stored = math.min(o.per_day, o.stored + bytes)
  redis.call('SET', buckets, packed(o), 'KEEPTTL')
end
if tokens ~= 0 or requests ~= 0 or bytes ~= 0 then
  pour(KEYS[3])
  pour(KEYS[5])
end
return 1
