-- Requests that wait in a class below the highest: one hash has their classes by their ids, another
-- counts them by class. The rest of the waiting ones are in the highest class, which needs no count.
-- While `below` exists, some may wait there: pop.lua checks, and deletes it when none does.
-- A third hash has those that wait because they were preempted (park.lua).
local RANK = 1e13 -- more than the ms of any clock: candidates for preemption are ordered by class first

local function waits_below(p, id, class)
  if redis.call('HSET', p .. ':lower', id, class) == 1 then
    redis.call('HINCRBY', p .. ':waiting', class, 1)
  end
  redis.call('SET', p .. ':below', 1)
end

-- Its runner may not have read the note: it waits again, for a day at most, and ends in its turn.
local function remember_cancelled(p, id)
  redis.call('EXPIRE', p .. ':cancelled:' .. id, 90000)
end

-- Forgets a waiting request that begins, or is over.
local function waits_no_more(p, id)
  local class = redis.call('HGET', p .. ':lower', id)
  if class then
    redis.call('HDEL', p .. ':lower', id)
    redis.call('HDEL', p .. ':aside', id)
    redis.call('HINCRBY', p .. ':waiting', class, -1)
  end
end

-- Forgets what warm.lua keeps of a waiting request.
local function forget_warm(p, id)
  redis.call('HDEL', p .. ':prefixes', id)
  redis.call('ZREM', p .. ':left', id)
end
