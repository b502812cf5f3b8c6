-- Stores how far the sweeper has compared the record with the queue. Redis loses or restores it
-- together with the queue's data: then the sweeper compares again.
-- KEYS: 1 pool prefix   ARGV: 1 the epoch in which it began  2 up to which receipt
--                             3 the position of its round through all the others
if redis.call('GET', KEYS[1] .. ':epoch') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1] .. ':compared', 'upto', ARGV[2], 'round', ARGV[3])
return 1
