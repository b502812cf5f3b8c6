-- May this request come in? All tiers are looked at before any is charged, so that a refusal at
-- one costs nothing at the others. Time is Redis's own, the same for every web process.
-- KEYS: 1 requests of this IP  2 the tenant's bucket  3 the tenant's requests in progress
-- ARGV: 1 IP limit per minute  2 bucket refill per minute  3 bucket size  4 requests at once
--       5 request id  6 seconds the place may be held                       (0: no limit; no bucket size: the refill)
-- Returns {tier ('' = admitted), limit, remaining, ms until it frees}; tiers: ip, rate, concurrency
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local ip_limit, refill, size, at_once = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

if size <= 0 then size = refill end

local window = KEYS[1] .. math.floor(now / 60000)
if ip_limit > 0 then
  local seen = tonumber(redis.call('GET', window) or 0)
  if seen >= ip_limit then return {'ip', ip_limit, 0, 60000 - now % 60000} end
end

local tokens = size
if refill > 0 then
  local bucket = redis.call('HMGET', KEYS[2], 'tokens', 'at')
  if bucket[1] then
    -- a clock set back must not take tokens away, nor give any
    local passed = math.max(0, now - tonumber(bucket[2]))
    tokens = math.min(size, tonumber(bucket[1]) + passed * refill / 60000)
  end
  if tokens < 1 then return {'rate', refill, 0, math.ceil((1 - tokens) * 60000 / refill)} end
end

redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
if at_once > 0 then
  if redis.call('ZCARD', KEYS[3]) >= at_once then
    local soonest = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
    return {'concurrency', at_once, 0, math.min(1000, math.max(1, tonumber(soonest[2]) - now))}
  end
end

if ip_limit > 0 then
  redis.call('INCR', window)
  redis.call('PEXPIRE', window, 61000)
end
if refill > 0 then
  tokens = tokens - 1
  redis.call('HSET', KEYS[2], 'tokens', tostring(tokens), 'at', now)
  redis.call('PEXPIRE', KEYS[2], math.ceil(size * 60000 / refill) + 1000)
end
local hold = tonumber(ARGV[6]) * 1000
redis.call('ZADD', KEYS[3], now + hold, ARGV[5])
redis.call('PEXPIRE', KEYS[3], hold)
return {'', refill, math.floor(tokens), refill > 0 and math.ceil(60000 / refill) or 0}
