-- May this request come in? All tiers are looked at before any is charged, so that a refusal at
-- one costs nothing at the others. clock.lua and buckets.lua stand before this in one script.
-- KEYS: 1 clock  2 the address's latest requests  3 the tenant's buckets  4 its requests in progress
--       5 the key's buckets  6 its requests in progress
-- ARGV: 1 request id  2 tokens it may take  3 ms its place may be held  4 epoch that the caller knows
--       5 the time as the caller reckons it, 0 when it does not know  6 ms after which it is gone
--       7 mode: '', 'jumped' (the caller is sure of ARGV 5) or 'owed' (let in without us: charge it)
--       8 requests a minute of the address  9 when the address was charged for it, 0: not yet
--       10 bytes of its body  11-16 the tenant's requests a minute, burst, tokens a minute, requests
--       at once, bytes in flight, bytes stored per day  17-22 the key's
--       23 1: only look at the tenant's and the key's limits: they refuse nothing, are charged nothing
--       24 how many requests it counts as: 0 for bytes that are stored once it runs
-- A limit of 0 means none. Returns {tier, limit, used, ms until it frees, now, epoch, and what the
-- tightest tiers leave: scope, limit, remaining, ms until full of requests; the last three of tokens}.
-- Tiers: '' (admitted), ip, and of key_rate, rate and so on: rate, tokens, stored, concurrency, bytes.
-- Or {'epoch', …}: data was lost, ask again; {'late', …}: comes too late for the caller, not charged.
local id, tokens, hold, mode = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[7]
local bytes, requests_asked = tonumber(ARGV[10]), tonumber(ARGV[24])
local owed, looks = mode == 'owed', ARGV[23] == '1'
local untold = {0, 0, 0, now, epoch, '', -1, 0, 0, -1, 0, 0}
local function other(word) return {word, unpack(untold)} end

if ARGV[4] ~= '' and ARGV[4] ~= epoch then
  mark_strict()
  return other('epoch')
end
local reckoned = tonumber(ARGV[5])
if reckoned > 0 then
  if now < reckoned - 1000 or (mode == 'jumped' and now > reckoned + 1000) then
    set_clock(reckoned)
  elseif not owed and now > reckoned + tonumber(ARGV[6]) then
    return other('late')
  end
end

local address, per_address, counted_at = KEYS[2], tonumber(ARGV[8]), tonumber(ARGV[9])
local tenant, key = owner(KEYS[3], KEYS[4], 11, bytes), owner(KEYS[5], KEYS[6], 17, bytes)
if owed and redis.call('ZSCORE', KEYS[4], id) then return other('') end

-- The tier that stays closed longest is the one to tell: after its time the request comes in.
local closed = {'', 0, 0, 0}
local function close(tier, limit, used, frees)
  if frees > closed[4] then closed = {tier, limit, used, frees} end
end

local seen = 0
if per_address > 0 then
  local frees
  seen, frees = address_state(address, per_address)
  if frees > 0 and counted_at == 0 then close('ip', per_address, seen, frees) end
end
local function look(o, prefix)
  if o.rate > 0 and lacks(o.requests, requests_asked) then
    close(prefix .. 'rate', o.rate, math.ceil(o.size - o.requests),
      wait(requests_asked - o.requests, o.rate))
  end
  -- One that is larger than the whole bucket comes in when it is full, and leaves a debt.
  local needed = math.min(tokens, o.per_minute)
  if o.per_minute > 0 and lacks(o.tokens, needed) then
    close(prefix .. 'tokens', o.per_minute, math.ceil(o.per_minute - o.tokens),
      wait(needed - o.tokens, o.per_minute))
  end
  needed = math.min(bytes, o.per_day)
  if o.per_day > 0 and lacks(o.stored, needed) then
    close(prefix .. 'stored', o.per_day, math.ceil(o.per_day - o.stored),
      wait(needed - o.stored, o.per_day / 1440))
  end
  if o.at_once > 0 and o.busy >= o.at_once then
    close(prefix .. 'concurrency', o.at_once, o.busy, place_frees(o.places))
  end
  -- One that is larger than the limit comes in alone.
  if o.heavy and o.in_flight > 0 and o.in_flight + bytes > o.at_once_bytes then
    close(prefix .. 'bytes', o.at_once_bytes, o.in_flight, place_frees(o.places))
  end
end
if not looks then
  look(key, 'key_')
  look(tenant, '')
end

local refused = closed[1] ~= '' and not owed
if refused and counted_at > 0 then redis.call('LREM', address, -1, counted_at) end
if not refused then
  closed = {'', 0, 0, 0}
  if per_address > 0 and counted_at == 0 then
    count_address(address, per_address)
    seen = seen + 1
  end
  if not looks then
    charge(tenant, requests_asked, tokens, bytes, hold)
    charge(key, requests_asked, tokens, bytes, hold)
  end
  if hold > 0 then
    if now % 64 == 0 then forget_expired(KEYS[4]) end
    take_off(tenant, id, bytes, hold)
    take_off(key, id, bytes, hold)
    redis.call('ZADD', KEYS[4], now + hold, id)
    keep(KEYS[4], hold)
    if key.limited then
      redis.call('ZADD', KEYS[6], now + hold, id)
      keep(KEYS[6], hold)
    end
  end
end

-- What the tightest tiers leave
local scope, requests, left = '', {-1, 0, 0}, {-1, 0, 0}
if per_address > 0 then
  local clears = refused and address_clears(address) or 60000
  scope, requests = 'ip', {per_address, math.max(0, per_address - seen), clears}
end
local function tighter(o, prefix)
  if o.rate > 0 and (requests[1] < 0 or o.requests < requests[2]) then
    scope = prefix .. 'rate'
    requests = {o.rate, math.max(0, math.floor(o.requests)), wait(o.size - o.requests, o.rate)}
  end
  if o.per_minute > 0 and (left[1] < 0 or o.tokens < left[2]) then
    left = {o.per_minute, math.max(0, math.floor(o.tokens)), wait(o.per_minute - o.tokens, o.per_minute)}
    if scope == '' then scope = prefix .. 'tokens' end
  end
end
tighter(key, 'key_')
tighter(tenant, '')
return {closed[1], closed[2], closed[3], closed[4], now, epoch, scope,
  requests[1], requests[2], requests[3], left[1], left[2], left[3]}
