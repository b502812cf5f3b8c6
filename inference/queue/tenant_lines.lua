-- Returns one tenant's waiting requests of a pool. It writes nothing.
-- KEYS: 1 pool prefix   ARGV: 1 tenant  2 requests to return for each class  3.. classes
-- Returns {class, requests in its line, tenants waiting in the class, item, 1 if it was preempted,
--   item ...} for each class in which it has a line, in the order in which they will begin
local p, tenant, most = KEYS[1], ARGV[1], tonumber(ARGV[2])
local out = {}
for i = 3, #ARGV do
  local class = p .. ':' .. ARGV[i]
  local line = class .. ':line:' .. tenant
  local length = redis.call('LLEN', line)
  if length > 0 then
    local row = {ARGV[i], length, redis.call('ZCARD', class .. ':active')}
    local items = redis.call('LRANGE', line, -most, -1)
    for n = #items, 1, -1 do
      local id = string.match(items[n], '([^|]*)$')
      if redis.call('HEXISTS', p .. ':orders', id) == 1
          and redis.call('HEXISTS', p .. ':on', id) == 0 then
        row[#row + 1] = items[n]
        row[#row + 1] = redis.call('HEXISTS', p .. ':aside', id)
      else
        row[2] = row[2] - 1 -- it was cancelled
      end
    end
    out[#out + 1] = row
  end
end
return out
