-- How many requests wait, and how fast they start. KEYS: 1 pool prefix   ARGV: names of classes
-- Returns {pace ('' when nothing is known), ms of this clock, requests that wait in each class}
local p, clock = KEYS[1], redis.call('TIME')
local out = {redis.call('GET', p .. ':pace') or '', clock[1] * 1000 + math.floor(clock[2] / 1000)}
for _, class in ipairs(ARGV) do
  out[#out + 1] = redis.call('HGET', p .. ':waiting', class) or 0
end
return out
