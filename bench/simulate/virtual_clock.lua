-- Before each script of the queue: what would tell the time, expire or choose at random does so by
-- the simulator. KEYS[2]: its time, ms since the epoch.
local real = redis
local redis = setmetatable({}, {__index = real})

-- Nothing expires: what would takes no part in the order.
local function without_expiry(words)
  local kept = {}
  local i = 1
  while i <= #words do
    if words[i] == 'PX' or words[i] == 'EX' then i = i + 1 else kept[#kept + 1] = words[i] end
    i = i + 1
  end
  return kept
end

local virtual = {
  TIME = function()
    local ms = tonumber(KEYS[2])
    return {string.format('%d', math.floor(ms / 1000)), string.format('%d', ms % 1000 * 1000)}
  end,
  SET = function(...) return real.call('SET', unpack(without_expiry({...}))) end,
  PEXPIRE = function() return 1 end,
  EXPIRE = function() return 1 end,
  SPOP = function(set)
    local members = real.call('SMEMBERS', set)
    table.sort(members)
    if members[1] then real.call('SREM', set, members[1]) end
    return members[1] or false
  end,
  -- The simulator reads the notes of all its runners in one list.
  LPUSH = function(list, ...)
    local runner = string.match(list, ':inbox:(.*)$')
    if not runner then return real.call('LPUSH', list, ...) end
    return real.call('RPUSH', KEYS[1] .. ':notes', runner .. ' ' .. ...)
  end,
}

function redis.call(command, ...)
  local own = virtual[command]
  if own then return own(...) end
  return real.call(command, ...)
end

