-- Token buckets of requests and of tokens, and the latest requests of an address; all times in ms.
-- A bucket that is not kept is full; in a strict epoch it was empty when that began.
local function level(kept, at, rate, size)
  local held = kept and tonumber(kept) -- '' when there was no such limit
  if held then return math.min(size, held + math.max(0, now - at) * rate / 60000) end
  if strict then return math.min(size, math.max(0, now - born) * rate / 60000) end
  return size
end

local function wait(missing, rate)
  return math.max(0, math.ceil(missing * 60000 / rate))
end

local function fill(o)
  local kept = redis.call('HMGET', o.buckets, 'requests', 'tokens', 'at')
  local at = tonumber(kept[3] or now)
  if at > now then -- a clock set back must not close the bucket until it catches up
    redis.call('HSET', o.buckets, 'at', now)
  end
  o.requests = o.rate > 0 and level(kept[1], at, o.rate, o.size) or 0
  o.tokens = o.per_minute > 0 and level(kept[2], at, o.per_minute, o.per_minute) or 0
end

-- A tenant or a key, with what it has left. Its four limits stand in ARGV from `first` on.
local unlimited = {rate = 0, per_minute = 0, at_once = 0, requests = 0, tokens = 0}
local function owner(buckets, places, first)
  local rate, size = tonumber(ARGV[first]), tonumber(ARGV[first + 1])
  local per_minute, at_once = tonumber(ARGV[first + 2]), tonumber(ARGV[first + 3])
  if rate == 0 and per_minute == 0 and at_once == 0 then return unlimited end
  if size <= 0 then size = rate end
  local o = {buckets = buckets, places = places, rate = rate, size = size,
    per_minute = per_minute, at_once = at_once, requests = 0, tokens = 0, busy = 0}
  o.bucketed = rate > 0 or per_minute > 0
  o.limited = true
  if o.bucketed then fill(o) end
  if at_once > 0 then
    o.busy = redis.call('ZCARD', places)
    if o.busy >= at_once and redis.call('ZREMRANGEBYSCORE', places, '-inf', now) > 0 then
      o.busy = redis.call('ZCARD', places)
    end
  end
  return o
end

local function keep(o)
  redis.call('HSET', o.buckets, 'at', now, 'rate', o.rate, 'size', o.size,
    'per_minute', o.per_minute, 'requests', o.rate > 0 and tostring(o.requests) or '',
    'tokens', o.per_minute > 0 and tostring(o.tokens) or '')
end

-- Kept until it is full again, and for as long as the request may give something back.
local function charge(o, tokens, hold)
  if not o.bucketed then return end
  if o.rate > 0 then o.requests = o.requests - 1 end
  if o.per_minute > 0 then o.tokens = o.tokens - tokens end
  keep(o)
  local full = math.max(o.rate > 0 and wait(o.size - o.requests, o.rate) or 0,
    o.per_minute > 0 and wait(o.per_minute - o.tokens, o.per_minute) or 0)
  redis.call('PEXPIRE', o.buckets, full + hold + 1000)
end

-- The address: when its latest requests came, the oldest first, at most as many as it may send.
-- Returns how many of the last minute there are, and ms until one more may come.
local function address_state(name, limit)
  local oldest = tonumber(redis.call('LINDEX', name, 0) or now)
  while oldest <= now - 60000 do
    redis.call('LPOP', name)
    oldest = tonumber(redis.call('LINDEX', name, 0) or now)
  end
  local seen, frees = redis.call('LLEN', name), 0
  if seen >= limit then
    frees = tonumber(redis.call('LINDEX', name, -limit)) + 60000 - now
    if frees > 60000 then -- a clock set back
      redis.call('DEL', name)
      for _ = 1, limit do redis.call('RPUSH', name, now) end
      frees = 60000
    end
  end
  if strict and now - born < 60000 then -- what came before is not known: it may have been all
    local begins = born + math.ceil((seen + 1) * 60000 / limit)
    frees = math.max(frees, begins - now)
  end
  return seen, frees
end

local function count_address(name, limit)
  if redis.call('RPUSH', name, now) > limit then redis.call('LTRIM', name, -limit, -1) end
  redis.call('PEXPIRE', name, 60001)
end

local function address_clears(name)
  local newest = redis.call('LINDEX', name, -1)
  return newest and math.max(0, tonumber(newest) + 60000 - now) or 0
end
