-- The time of the limits (KEYS[1]): Redis's own, the same for every process, and even. When somebody
-- sets Redis's clock, `skew` makes up for it: nobody gains or loses by that.
-- And the epoch: since when nothing has been lost. In a strict one, what is not there is taken to
-- have been used up when it began, so that a flushed Redis gives nobody a second burst.
local clock = redis.call('TIME')
local known = redis.call('HMGET', KEYS[1], 'epoch', 'born', 'strict', 'skew')
local skew = tonumber(known[4] or 0)
local now = clock[1] * 1000 + math.floor(clock[2] / 1000) + skew
local epoch, born, strict = known[1], tonumber(known[2] or now), known[3] == '1'
if not epoch then
  epoch = now .. ':' .. ARGV[1] -- a request's id: no other epoch has it
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'born', now)
end

local function mark_strict()
  redis.call('HSET', KEYS[1], 'strict', 1)
end

local function set_clock(time)
  redis.call('HSET', KEYS[1], 'skew', skew + time - now)
  now = time
end
