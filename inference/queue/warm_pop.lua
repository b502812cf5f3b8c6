-- What a runner takes while some requests are left to engines that have their prompts warm (warm.lua).
-- The order of tenants stays: a slot goes to the next tenant only within the charge of one request's
-- start (AHEAD, as in headroom.lua), or while a free slot of the warm engine waits for the one before.
-- A slot stays empty only while all waiting requests are left to their engines, and each is left once,
-- for a bounded time.
local OFF = {is_on = false, hand_on = function() end, add_words = function() end}
-- `rule`: '' or the ms of that time, and the engines that take requests.
local function warm_choice(p, runner, now, rule)
  local left_ms, takers = string.match(rule, '^(%d+)(.*)$')
  if not left_ms then return OFF end -- most pops: a pool of one engine
  local mine = engine_of(runner)
  local choice = {look = false} -- `look`: when a request is left no longer, for which a slot stays empty
  local counts = {hit = 0, miss = 0, new = 0, waited = 0}
  choice.is_on = mine and redis.call('EXISTS', p .. ':prefixes') == 1

  -- Returns what is known of a request that is left to another engine; nil where it may begin here.
  local function elsewhere(item)
    local about = prefixes_of(p, string.match(item, '([^|]*)$'))
    if not about or about.engine == '' or about.engine == mine then return end
    if not string.find(takers .. ' ', ' ' .. about.engine .. ' ', 1, true) then return end
    if about.ends and (about.ends <= now or about.ends > now + left_ms) then return end
    return about
  end

  -- Returns the tenants that a slot may go to while the first request of `first` is left.
  local function near(class, first, promised)
    local active, tenants = p .. ':' .. class .. ':active', {first}
    local most = promised and '+inf' or (redis.call('ZSCORE', active, first) or 0) + AHEAD
    for _, each in ipairs(redis.call('ZRANGEBYSCORE', active, '-inf', most, 'LIMIT', 0, MOST_NEAR)) do
      if each ~= first then tenants[#tenants + 1] = each end
    end
    return tenants
  end

  -- Takes the first request of these tenants that may begin here. Returns tenant and item; without
  -- one nil, and all that are to be left: {id, what is known of it}.
  local function next_here(class, tenants)
    local passed = {}
    for _, tenant in ipairs(tenants) do
      local line = p .. ':' .. class .. ':line:' .. tenant
      local items = redis.call('LRANGE', line, -LINE_LOOKED_AT, -1)
      for i = #items, 1, -1 do
        local about = elsewhere(items[i])
        if not about then
          redis.call('LREM', line, -1, items[i])
          return tenant, items[i]
        end
        passed[#passed + 1] = {string.match(items[i], '([^|]*)$'), about}
      end
    end
    return nil, nil, passed
  end

  local function leave(id, about)
    if about.ends then return end
    about.ends = now + left_ms
    keep_prefixes(p, id, string.format('%d', about.ends), 0, about.own, about.engine)
    leave_to_warm(p, id, about.ends, now)
  end

  -- Returns whether all that wait are left to their engines, with these: only then may a slot stay empty.
  local function all_are_left(passed)
    local waiting = redis.call('HLEN', p .. ':orders') - redis.call('HLEN', p .. ':on')
    local left = redis.call('ZCOUNT', p .. ':left', '(' .. now, '+inf')
    for _, each in ipairs(passed) do
      if not each[2].ends then left = left + 1 end
    end
    return waiting <= left
  end

  -- Leaves these, and looks again when one is left no longer.
  local function stay_empty(passed, engine)
    for _, each in ipairs(passed) do leave(each[1], each[2]) end
    local first = redis.call('ZRANGEBYSCORE', p .. ':left', '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    choice.look = tonumber(first[2])
    if idle_runner(p, IDLE, engine) then wake(p, IDLE, engine) end
  end

  -- Takes the tenant's first request, or the next that may begin here while that one is left.
  -- `may_be_another`: of another tenant. Returns tenant and item; nil where the slot stays empty.
  function choice.first(class, tenant, may_be_another)
    local line = p .. ':' .. class .. ':line:' .. tenant
    local item = redis.call('LINDEX', line, -1)
    local about = item and elsewhere(item)
    if about then
      local tenants = may_be_another and near(class, tenant, about.promised) or {tenant}
      local other, its_item, passed = next_here(class, tenants)
      if other then
        leave(string.match(item, '([^|]*)$'), about)
        return other, its_item
      end
      if all_are_left(passed) then return stay_empty(passed, about.engine) end
    end
    return tenant, redis.call('RPOP', line)
  end

  -- Counts a request that begins here, and remembers that its prompt is warm here from now on.
  function choice.begins(id, tenant)
    local about = prefixes_of(p, id)
    if not about then return end
    local outcome = about.engine == '' and 'new' or about.engine == mine and 'hit' or 'miss'
    counts[outcome] = counts[outcome] + 1
    if about.ends and not about.promised then counts.waited = counts.waited + 1 end
    forget_warm(p, id)
    remember_warm(p, tenant, about.own, mine, now)
  end

  -- Wakes another idle runner when this one is full and some wait: they may have been left to engines.
  function choice.hand_on()
    if choice.is_on and redis.call('HLEN', p .. ':orders') > redis.call('HLEN', p .. ':on') then
      wake(p, IDLE)
    end
  end

  function choice.add_words(words)
    if choice.look then words[#words + 1] = 'look=' .. choice.look - now end
    for name, count in pairs(counts) do
      if count > 0 then words[#words + 1] = name .. '=' .. count end
    end
  end

  return choice
end
