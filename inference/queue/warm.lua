-- Prefers the engine that has the beginning of a request's prompt in its cache. Only the highest class.
-- A request comes with hashes of its prompt's beginnings (prefix_hashes.py). While it waits, the hash
-- `prefixes` has by its id `until|promised|hashes|engine`: the engine that has its prompt warm
-- ('' if none is known), until when others leave it to that one (in ms; '' if none has yet), 1 if a
-- runner of that one was woken for it while it had a free slot, and the hashes to remember it by.
-- A sorted set `left` has the waiting requests that are left to their engines, by the time when that
-- ends. For each tenant, a hash `warm:TENANT` has `ms|engine` by hash of a beginning; when it is full it
-- becomes the older one of two, in place of that.
local WARM_KEPT_MS = 600000
local WARM_MOST = 1024 -- hashes of a tenant in each of the two
local LINE_LOOKED_AT = 4 -- requests of a tenant's line that may be preferred to its first

-- Returns the engine that has one of these beginnings warm, the longest first; '' if it is unknown.
local function warm_engine(p, tenant, hashes, now)
  for _, generation in ipairs({'', ':older'}) do
    local known = redis.call('HMGET', p .. ':warm:' .. tenant .. generation, unpack(hashes))
    for _, each in ipairs(known) do
      local at, engine = string.match(each or '', '^(%d+)|(.*)$')
      if at and now - at < WARM_KEPT_MS then return engine end
    end
  end
  return ''
end

-- Remembers which engine has begun a prompt with these hashes.
local function remember_warm(p, tenant, own, engine, now)
  local key, fields = p .. ':warm:' .. tenant, {}
  for hash in string.gmatch(own, '%x+') do
    fields[#fields + 1] = hash
    fields[#fields + 1] = now .. '|' .. engine
  end
  redis.call('HSET', key, unpack(fields))
  redis.call('PEXPIRE', key, WARM_KEPT_MS)
  if redis.call('HLEN', key) >= WARM_MOST then redis.call('RENAME', key, key .. ':older') end
end

local function keep_prefixes(p, id, ends, promised, own, engine)
  redis.call('HSET', p .. ':prefixes', id, ends .. '|' .. promised .. '|' .. own .. '|' .. engine)
end

local function prefixes_of(p, id)
  local text = redis.call('HGET', p .. ':prefixes', id)
  if not text then return end
  local ends, promised, own, engine = string.match(text, '^(%d*)|(%d)|([^|]*)|(.*)$')
  return {ends = tonumber(ends), promised = promised == '1', own = own, engine = engine}
end

-- Leaves a waiting request to its engine until then.
local function leave_to_warm(p, id, ends, now)
  redis.call('ZREMRANGEBYSCORE', p .. ':left', '-inf', now)
  redis.call('ZADD', p .. ':left', ends, id)
  redis.call('PEXPIRE', p .. ':left', 60000)
end
