-- Calls of one address or key: at most `rate` a minute, in bursts of as many (GCRA).
-- KEYS: 1 when the calls so far will have been worked off   ARGV: 1 rate
-- Returns the ms until another call is taken; 0: this one is. Time is Redis's own.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local apart = 60000 / tonumber(ARGV[1])
local free = tonumber(redis.call('GET', KEYS[1]) or 0)
free = math.min(math.max(now, free), now + 60000) -- a clock set back locks nobody out
local early = free + apart - now - 60000
if early > 0.001 then return math.ceil(early) end
redis.call('SET', KEYS[1], tostring(free + apart), 'PX', math.ceil(free + apart - now) + 1000)
return 0
