-- The sweeper has compared the record with the queue. What it keeps here is lost with the data of
-- the queue, and goes back with it: then it compares again.
-- KEYS: 1 pool prefix   ARGV: 1 the epoch in which it began  2 up to which receipt
--                             3 where its round through all the others stands
if redis.call('GET', KEYS[1] .. ':epoch') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1] .. ':compared', 'upto', ARGV[2], 'round', ARGV[3])
return 1
