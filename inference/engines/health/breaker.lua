-- Updates one engine's circuit breaker after an event of a request, or by an operator.
-- KEYS: 1 the states of all engines that have trouble  2 this engine's history  3 stream of changes
-- ARGV: 1 engine  2 verb  3 token of the request, or the operator  4 reason, or forced state
--       5 ms that it stays open  6 failures in a row that open it  7 ms that a probe may be silent
--       8 how many changes are stored  9 the tenant whose request failed, '' if no request can have
--       caused it  10 '1' if the engine has lately answered another tenant
-- Verbs: failed, succeeded, released (a probe that showed nothing), probe (may this request be the
-- one?), renew (the probe still runs), force, forget (the engine was removed).
-- Returns {1 if a request may ask the engine, now in ms, state as JSON or '' without trouble}.
local engine, verb, token, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local stored = redis.call('HGET', KEYS[1], engine)
local s = stored and cjson.decode(stored)
  or {state = 'closed', failures = 0, since = now, due = 0, probe = '', probe_until = 0,
      forced = '', reason = ''}

if s.since > now then -- the clock was set back: no duration becomes longer
  local ahead = s.since - now
  s.since, s.due, s.probe_until = now, s.due - ahead, s.probe_until - ahead
end

-- Counts a failure, once for each request. `only` names a tenant if all failures are of its requests,
-- which then cannot close the engine to others that it answers.
local function count()
  local id, tenant = token:match('|([^|]+)$'), ARGV[9] or ''
  local before = s.failures > 0 and s.ids or ' '
  if id and before:find(' ' .. id .. ' ', 1, true) then return false end
  s.ids = (' ' .. (id or '') .. before):sub(1, 37 * tonumber(ARGV[6]))
  s.only = (s.failures == 0 or s.only == tenant) and tenant or ''
  s.failures = s.failures + 1
  return true
end

local function announce()
  redis.call('XADD', KEYS[3], 'MAXLEN', 1, '*', 'engine', engine)
end

local function note(state, why, by)
  local line = {state = state, at = now, reason = why, by = by}
  redis.call('LPUSH', KEYS[2], cjson.encode(line))
  redis.call('LTRIM', KEYS[2], 0, tonumber(ARGV[8]) - 1)
  announce()
end

local function become(state, why)
  s.state, s.since, s.reason, s.probe, s.probe_until = state, now, why, '', 0
  if state == 'closed' then s.failures = 0 end
  note(state, why, '')
end

local function open()
  s.due = now + tonumber(ARGV[5])
  become('open', reason)
end

if verb == 'forget' then
  redis.call('HDEL', KEYS[1], engine)
  redis.call('DEL', KEYS[2])
  announce()
  return {1, now, ''}
end

local probes = s.probe ~= '' and s.probe == token
local may = s.forced == 'closed' or (s.forced == '' and s.state == 'closed')
if verb == 'force' then
  s.forced = reason
  if reason == '' then
    s.state, s.failures, s.probe, s.probe_until = 'closed', 0, '', 0
  end
  s.since, s.reason = now, 'an operator'
  note(reason == '' and 'automatic' or 'forced ' .. reason, s.reason, token)
elseif s.forced ~= '' then
  -- The operator's state prevails.
elseif verb == 'failed' and probes then
  open()
elseif verb == 'failed' and s.state == 'closed' and count() then
  s.reason = reason
  local alone = s.only ~= '' and ARGV[10] == '1'
  if s.failures >= tonumber(ARGV[6]) and not alone then
    open()
  elseif s.failures == 1 then
    announce()
  end
elseif verb == 'succeeded' and probes then
  become('closed', 'the probe was answered')
elseif verb == 'succeeded' and s.failures > 0 and s.state == 'closed' then
  s.failures = 0
  announce()
elseif verb == 'released' and probes then
  s.state, s.probe, s.probe_until = 'open', '', 0
  announce()
elseif verb == 'renew' and probes then
  s.probe_until = now + tonumber(ARGV[7])
elseif verb == 'probe' and s.state ~= 'closed' and now >= s.due and now >= s.probe_until then
  s.state, s.since, s.probe, s.probe_until = 'half_open', now, token, now + tonumber(ARGV[7])
  may = true
  note('half_open', 'one request is let through', '')
end

if s.state == 'closed' and s.failures == 0 and s.forced == '' then
  redis.call('HDEL', KEYS[1], engine)
  return {may and 1 or 0, now, ''}
end
local encoded = cjson.encode(s)
redis.call('HSET', KEYS[1], engine, encoded)
return {may and 1 or 0, now, encoded}
