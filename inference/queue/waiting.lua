-- Returns how many requests wait, and how fast they start.
-- KEYS: 1 pool prefix   ARGV: names of classes, the highest first
-- Returns {pace ('' if unknown), ms of this clock, waiting requests of each class}
local p, clock = KEYS[1], redis.call('TIME')
local all = redis.call('HLEN', p .. ':orders') - redis.call('HLEN', p .. ':on')
if all <= 0 then
  redis.call('DEL', p .. ':lower', p .. ':waiting', p .. ':aside', p .. ':prefixes') -- left by an earlier version
end
local out = {redis.call('GET', p .. ':pace') or '', clock[1] * 1000 + math.floor(clock[2] / 1000),
  all - redis.call('HLEN', p .. ':lower')}
for i = 2, #ARGV do
  out[#out + 1] = redis.call('HGET', p .. ':waiting', ARGV[i]) or 0
end
return out
