-- Takes up to n requests out of the queue: classes in strict order, in a class the tenant with the
-- least service for its weight, of a tenant first come first served.
-- KEYS: 1 pool prefix   ARGV: 1 n  2 lease ms  3 runner id
--   4 of each class: minimum share in thousandths | ms without a turn until it gets that share |
--     ageing in ms | slots that are kept free for it and those above | its headroom | its slots for
--     VIPs (headroom.lua) | slots that are kept free from lower classes while it has had requests
--     lately
--   5 slots of the pool and the draining engines, '' if they are unknown
--   6 '', or for how many ms a request is left to its warm engine (warm.lua), and the engines that
--     take requests
--   7.. names of classes, the highest first
-- Returns {item, order, item, order, ...}; with fewer than n the runner now counts as idle. A
-- text behind them has what else there is to tell: `held=1`: some wait for a slot that is not kept
-- free, and may begin when one ends; `again=1`: many cancelled requests were removed, and the runner
-- should call again; `look=MS`: it should call again after that time; `hit`, `miss`, `new`, `waited`:
-- the number of requests whose prompt this engine has warm, another has, none has, and of those that
-- were left to another one for a while.
local p, n, runner = KEYS[1], tonumber(ARGV[1]), ARGV[3]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local deadline = now + tonumber(ARGV[2])
local out = {}
local orders, leases, on = p .. ':orders', p .. ':leases', p .. ':on'
local more = false -- whether further ones wait, as far as is known
local DEAD = 1000 -- cancelled requests that one pop removes from lines: Redis must not block for long
local dead = 0
local slots = tonumber(ARGV[5])
if not slots and ARGV[5] ~= '' then -- some drain: their running requests need slots too
  local names = {}
  for name in string.gmatch(ARGV[5], '%S+') do names[name] = true end
  slots = tonumber(string.match(ARGV[5], '^%d+'))
  for _, by in ipairs(redis.call('HVALS', on)) do
    if names[string.match(by, '^(.*)%-')] then slots = slots + 1 end
  end
end
local held = false -- whether some wait that may not have the free slots
local lacks = false -- the rank of a class of those whose free slots are only for VIPs
local warm = warm_choice(p, runner, now, ARGV[6])

-- Takes up to `most` requests of the class of this rank, whose tenants leave `headroom` slots to each
-- other and `vip` slots to VIPs. Returns how many it took.
local function take(rank, most, headroom, vip)
  local class = ARGV[6 + rank]
  local active, counters = p .. ':' .. class .. ':active', p .. ':' .. class .. ':counters'
  local count = 0
  while count < most and dead < DEAD do
    local tenant = redis.call('ZRANGE', active, 0, 0)[1]
    if not tenant then break end
    local has_enough = n - count > math.max(headroom, vip) -- the pool, of slots
    if not has_enough then
      if vip > 0 and slots - redis.call('HLEN', on) <= vip then
        tenant = next_vip(p, class)
        lacks = lacks or not tenant and rank
      elseif headroom > 0 then
        tenant = next_tenant(p, class, rank, slots, headroom, now)
      end
      if not tenant then
        held = true
        break
      end
    end
    local item
    if rank == 1 and warm.is_on then
      tenant, item = warm.first(class, tenant, has_enough)
      if not tenant then break end -- the slot stays empty
    end
    local line = p .. ':' .. class .. ':line:' .. tenant
    item = item or redis.call('RPOP', line)
    local order, counter = false, false
    if item then
      -- item: attempt|estimate|weight|class|tenant|id
      local estimate, weight, id = string.match(item, '^%d+|(%d+)|(%d+)|[^|]*|[^|]*|(.*)$')
      order = redis.call('HGET', orders, id)
      -- Else it was cancelled while it waited, or is in its line twice and runs already, because it
      -- was moved to another pool and back. There is nothing to run, and nothing to charge.
      if order and redis.call('HSETNX', on, id, runner) == 1 then
        counter = redis.call('HINCRBYFLOAT', counters, tenant, at_first(estimate) / tonumber(weight))
        redis.call('ZADD', leases, deadline, item)
        begins(p, class, tenant, now)
        if rank > 1 then waits_no_more(p, id) elseif warm.is_on then warm.begins(id, tenant) end
        out[#out + 1] = item
        out[#out + 1] = order
        count = count + 1
      end
    end
    if not counter then
      dead = dead + 1
      counter = redis.call('HGET', counters, tenant) or '0'
    end
    if redis.call('LLEN', line) == 0 then
      redis.call('ZREM', active, tenant)
      redis.call('SET', p .. ':' .. class .. ':floor', counter)
      more = false
    else
      redis.call('ZADD', active, counter, tenant)
      more = true
    end
  end
  n = n - count
  return count
end

local function known(number) return slots and tonumber(number) or 0 end

local function for_vips(number) return slots and math.min(tonumber(number), slots - 1) or 0 end

-- Preempts lower classes if a class has begun that leaves them fewer slots than its headroom does.
local function make_room(rank, headroom, lately)
  if lately > headroom then squeeze(p, rank, math.max(1, slots - lately)) end
end

-- Takes requests while lower classes wait, too. For each such class, a hash has what it is owed in
-- thousandths of a request, since when it has had no turn, and whether it gets its minimum share,
-- which it keeps until it is empty.
local function take_turns()
  local rows, running = {}, redis.call('HLEN', on)
  for share, after, ageing, kept, headroom, vip, lately in
      string.gmatch(ARGV[4], '(%d+)|(%d+)|(%d+)|(%d+)|(%d+)|(%d+)|(%d+)') do
    local rank = #rows + 1
    rows[rank] = {name = ARGV[6 + rank], rank = rank, share = tonumber(share), kept = tonumber(kept),
      headroom = known(headroom), lately = known(lately), vip = for_vips(vip),
      after = tonumber(after), ageing = tonumber(ageing), owed = 0, since = now, starves = 0}
  end

  local function waits(row) return redis.call('EXISTS', p .. ':' .. row.name .. ':active') == 1 end

  local function read()
    for rank = 2, #rows do
      local row = rows[rank]
      row.waits = waits(row)
      row.read = row.waits and redis.call('HGET', p .. ':owed', row.name)
      if row.read then
        local owed, since, starves = string.match(row.read, '^(%d+)|(%d+)|(%d)$')
        row.owed, row.starves = tonumber(owed), tonumber(starves)
        row.since = math.min(now, tonumber(since)) -- a clock may be set back
      end
      if row.share > 0 and now - row.since >= row.after then row.starves = 1 end
    end
  end

  local function write()
    local some = false
    for rank = 2, #rows do
      local row = rows[rank]
      some = some or row.waits
      local text = string.format('%d|%d|%d', row.owed, row.since, row.starves)
      if row.waits and text ~= row.read then
        redis.call('HSET', p .. ':owed', row.name, text)
      elseif row.read and not row.waits then
        redis.call('HDEL', p .. ':owed', row.name)
      end
    end
    if not some then redis.call('DEL', p .. ':below') end
  end

  -- Returns the class below this rank whose turn comes first exceptionally.
  local function before(higher)
    for rank = math.max(2, higher + 1), #rows do
      local row = rows[rank]
      if row.waits then
        if row.starves == 1 and row.owed + row.share >= 1000 then return row end
        if row.ageing > 0 and rank - math.floor((now - row.since) / row.ageing) <= higher then
          return row
        end
      end
    end
  end

  local function turn(row, most, is_first)
    local count = take(row.rank, most, is_first and 0 or row.headroom, is_first and 0 or row.vip)
    if count > 0 then make_room(row.rank, row.headroom, row.lately) end
    for rank = 2, #rows do
      local each = rows[rank]
      if each.waits and each.starves == 1 then each.owed = each.owed + count * each.share end
      if each == row then
        if count > 0 then each.owed, each.since = math.max(0, each.owed - 1000 * count), now end
        each.waits = waits(each)
      end
    end
    return count
  end

  local function kept_for(row)
    if row.lately > row.kept and comes_lately(p, row.name, now) then row.kept = row.lately end
    return row.kept
  end

  -- Returns how many of this rank may begin. Slots kept free for higher ones leave at least one.
  local function room(rank)
    local kept = 0
    for higher = 1, rank - 1 do kept = math.max(kept, kept_for(rows[higher])) end
    if not slots or kept == 0 then return n end
    return math.min(n, slots - math.min(kept, slots - 1) - running - #out / 2)
  end

  local function one_by_one(rank)
    for lower = rank, #rows do
      if rows[lower].waits and (rows[lower].starves == 1 or rows[lower].ageing > 0) then return true end
    end
  end

  read()
  for rank, row in ipairs(rows) do
    while n > 0 and dead < DEAD do
      local first = before(rank)
      local most = first and 1 or room(rank)
      if most <= 0 then
        held = held or row.waits
        break
      end
      if one_by_one(rank) then most = 1 end
      local count = turn(first or row, most, first)
      if first and count > 0 then -- or a waiting one would preempt it at once (park.lua)
        local id = string.match(out[#out - 1], '([^|]*)$')
        redis.call('SET', p .. ':turn:' .. id, 1, 'PX', 60000)
      end
      if count < most and not first then break end
    end
  end
  write()
end

-- One key counts once, the other twice, so that the sum tells which exist in one command.
local partly_idle = p .. PARTLY_IDLE -- runners whose free slots are not for all classes
local there = redis.call('EXISTS', p .. ':below', partly_idle, partly_idle)
local below = there % 2 == 1
if below then
  take_turns()
else
  local headroom, vip, lately = string.match(ARGV[4], '^%d+|%d+|%d+|%d+|(%d+)|(%d+)|(%d+)')
  if take(1, n, known(headroom), for_vips(vip)) > 0 then
    make_room(1, known(headroom), known(lately))
  end
end

-- A heartbeat may have registered it as idle although it was woken meanwhile.
held = held and n > 0
redis.call(n > 0 and not held and 'SADD' or 'SREM', p .. IDLE, runner)
if held or there >= 2 then redis.call(held and 'SADD' or 'SREM', partly_idle, runner) end
-- Requests that joined preempted none, since a slot was free then.
if held and lacks then push_out(p, {unpack(ARGV, 7, 6 + lacks)}, 1) end
if n == 0 then warm.hand_on() end
if n == 0 and not more then
  if below then
    more = redis.call('HLEN', orders) > redis.call('HLEN', on)
  else
    more = redis.call('EXISTS', p .. ':' .. ARGV[7] .. ':active') == 1
  end
end
keep_pace(p, now, #out / 2, held and WAITS or n > 0 and FREE or more and WAITS or FULL)
local words = {}
if n > 0 and (held or dead >= DEAD) then words[1] = dead >= DEAD and 'again=1' or 'held=1' end
warm.add_words(words)
if #words > 0 then out[#out + 1] = table.concat(words, ' ') end
return out
