-- Token buckets of requests, of tokens and of bytes stored, what is in progress, and the latest
-- requests of an address; all times in ms.
-- A bucket that is not kept is full; in a strict epoch it had `first` in it when that began.
local function level(kept, at, rate, size, first)
  if kept then return math.min(size, kept + math.max(0, now - at) * rate / 60000) end
  if strict then return math.min(size, first + math.max(0, now - born) * rate / 60000) end
  return size
end

-- Floating point may leave a bucket a hair below what it holds when `wait` is over.
local function lacks(left, needed) return left < needed - 1e-6 end

local function wait(missing, rate)
  return math.max(0, math.ceil(missing * 60000 / rate))
end

-- As kept: {at, requests, tokens, stored, rate, size, per_minute, per_day}; a level is false where
-- there was no such limit.
local nothing = {}
local function kept_of(buckets)
  local packed = redis.call('GET', buckets)
  local kept = packed and cmsgpack.unpack(packed) or nothing
  if packed and kept[1] > now then -- a clock set back must not close it until it catches up
    kept[1] = now
    redis.call('SET', buckets, cmsgpack.pack(kept), 'KEEPTTL')
  end
  return kept
end

local function fill(o, kept)
  local at = kept[1] or now
  o.requests = o.rate > 0 and level(kept[2], at, o.rate, o.size, 0) or 0
  o.tokens = o.per_minute > 0 and level(kept[3], at, o.per_minute, o.per_minute, 0) or 0
  local minute = o.per_day / 1440 -- with none of it every request would have to wait
  o.stored = o.per_day > 0 and level(kept[4], at, minute, o.per_day, minute) or 0
end

local function packed(o)
  return cmsgpack.pack({now, o.rate > 0 and o.requests, o.per_minute > 0 and o.tokens,
    o.per_day > 0 and o.stored, o.rate, o.size, o.per_minute, o.per_day})
end

-- Bytes in flight: a hash beside the places, from a request's id to its size, with their sum. Light
-- bodies are not counted: the number of places bounds them, and most requests pay nothing here.
local LIGHT = 16384
local function flying(places) return places .. ':bytes' end

-- Takes one off again. Returns whether it was there.
local function land(places, id)
  local size = redis.call('HGET', flying(places), id)
  if not size then return false end
  redis.call('HDEL', flying(places), id)
  if redis.call('HINCRBY', flying(places), 'sum', -size) <= 0 then
    redis.call('DEL', flying(places))
  end
  return true
end

-- Places whose time is over: nobody gives them back any more. Returns whether there were any.
local function forget_expired(places)
  local expired = redis.call('ZRANGEBYSCORE', places, '-inf', now)
  if #expired == 0 then return false end
  redis.call('ZREMRANGEBYSCORE', places, '-inf', now)
  if redis.call('EXISTS', flying(places)) == 1 then
    for _, id in ipairs(expired) do land(places, id) end
  end
  return true
end

local function place_frees(places)
  local soonest = redis.call('ZRANGE', places, 0, 0, 'WITHSCORES')
  return math.min(1000, math.max(1, tonumber(soonest[2] or now + 1000) - now))
end

local function count_places(o)
  if o.at_once > 0 then o.busy = redis.call('ZCARD', o.places) end
  if o.heavy then o.in_flight = tonumber(redis.call('HGET', flying(o.places), 'sum') or 0) end
end

-- A tenant or a key, with what it has left. Its six limits stand in ARGV from `first` on.
local unlimited = {rate = 0, per_minute = 0, at_once = 0, per_day = 0, requests = 0, tokens = 0}
local function owner(buckets, places, first, bytes)
  local rate, size = tonumber(ARGV[first]), tonumber(ARGV[first + 1])
  local per_minute, at_once = tonumber(ARGV[first + 2]), tonumber(ARGV[first + 3])
  local at_once_bytes, per_day = tonumber(ARGV[first + 4]), tonumber(ARGV[first + 5])
  if rate == 0 and per_minute == 0 and at_once == 0 and at_once_bytes == 0 and per_day == 0 then
    return unlimited
  end
  if size <= 0 then size = rate end
  local o = {buckets = buckets, places = places, rate = rate, size = size,
    per_minute = per_minute, at_once = at_once, at_once_bytes = at_once_bytes, per_day = per_day,
    requests = 0, tokens = 0, stored = 0, busy = 0, in_flight = 0}
  o.bucketed = rate > 0 or per_minute > 0 or per_day > 0
  o.heavy = at_once_bytes > 0 and bytes > LIGHT
  o.limited = true
  if o.bucketed then fill(o, kept_of(buckets)) end
  count_places(o)
  local crowded = at_once > 0 and o.busy >= at_once
  local laden = o.heavy and o.in_flight > 0 and o.in_flight + bytes > at_once_bytes
  if (crowded or laden) and forget_expired(places) then count_places(o) end
  return o
end

-- What is in progress has different deadlines: a short one must not cut a long one's time.
local function keep(key, ms)
  if redis.call('PEXPIRE', key, ms, 'GT') == 0 then redis.call('PEXPIRE', key, ms, 'NX') end
end

local function take_off(o, id, bytes, hold)
  if not o.heavy then return end
  land(o.places, id) -- asked twice
  redis.call('HSET', flying(o.places), id, bytes)
  redis.call('HINCRBY', flying(o.places), 'sum', bytes)
  keep(flying(o.places), hold)
end

-- Kept until it is full again, and for as long as the request may give something back.
local function charge(o, requests, tokens, bytes, hold)
  if not o.bucketed then return end
  if o.rate > 0 then o.requests = o.requests - requests end
  if o.per_minute > 0 then o.tokens = o.tokens - tokens end
  if o.per_day > 0 then o.stored = o.stored - bytes end
  local full = math.max(o.per_day > 0 and wait(o.per_day - o.stored, o.per_day / 1440) or 0,
    o.rate > 0 and wait(o.size - o.requests, o.rate) or 0,
    o.per_minute > 0 and wait(o.per_minute - o.tokens, o.per_minute) or 0)
  redis.call('SET', o.buckets, packed(o), 'PX', full + hold + 1000)
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
