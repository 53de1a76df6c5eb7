#!lua library=dispatch
-- Gives a worker the attempts whose turn it is, each with a lease. Whether the worker really gets one is decided by
-- take.lua at its queue: a consumer without leases may have been faster.
-- KEYS[1] {dispatch}:workers   ARGV[1] worker   ARGV[2] lease, ms   ARGV[3] at most so many
-- result  nil: the worker is not registered; else msgpack {again: there was more to look at than one step may, {{task, attempt, context, tier, home}, …}}
-- A worker with a slot left is idle from this very step on, so that no wake-up is lost. One without hands it on.

local worker, lease, pool
local got, most, estimates, rounds

-- What a run of this context will take, in seconds, as far as earlier ones tell.
local function estimate(ctx)
  estimates[ctx] = estimates[ctx] or tonumber(redis.call('HGET', D .. 'c:' .. ctx, 'avg') or 1)
  return estimates[ctx]
end

local function begin(l, vt)
  local seconds = estimate(l.ctx)
  redis.call('HSET', D .. 'l:' .. l.task, 'state', 'r', 'wkr', worker, 'start', now, 'charged', seconds)
  take_out('e:' .. l.ctx .. ':' .. l.tier, l.task)
  l.state = 'r'
  hold(l, now + lease)
  vt = vt + turn_of(seconds, share_of(l.home).w)
  set_virtual_time(pool, l.home, vt)
  got[#got + 1] = { l.task, l.att, l.ctx, l.tier, l.home }
  return vt
end

-- The next attempt that still waits; one that ended or was tried again since it came here is passed over.
local function next_of(ctx, home)
  local entry = redis.call('LPOP', D .. 'q:' .. ctx .. ':' .. home)
  if not entry then return nil end
  local task, att = entry:match('^(.*) (%d+)$')
  local state, known, tier = unpack(redis.call('HMGET', D .. 'l:' .. task, 'state', 'att', 'tier'))
  if state ~= 'w' or known ~= att then return {} end
  return { task = task, att = tonumber(att), ctx = ctx, tier = tier, home = home }
end

-- The tenants whose turns are next, from `first` on: as many as the call may serve and one more, `beyond`, behind which
-- more may stand. They are read once and moved here; what Redis has is settled before it is read again.
-- passed: the first tenants, which wait for other workers
local line, first, beyond, passed

local function precedes(one, other) return one.score < other.score or (one.score == other.score and one.home < other.home) end

local function read_line()
  local key, count = 'turn:' .. pool, most - #got + 1
  settle(key)
  local found, homes = redis.call('ZRANGE', D .. key, passed, passed + count - 1, 'WITHSCORES'), {}
  line, first = {}, 1
  for i = 1, #found, 2 do
    homes[#homes + 1] = found[i]
    line[#line + 1] = { home = found[i], score = tonumber(found[i + 1]) }
  end
  beyond = #line == count and line[count] or nil
  read_times(pool, homes)
end

local function stand(home, score)
  local one, i = { home = home, score = score }, #line
  if beyond and not precedes(one, beyond) then return end
  while i >= first and precedes(one, line[i]) do
    line[i + 1] = line[i]
    i = i - 1
  end
  line[i + 1] = one
end

local function turn_at(home, score)
  add('turn:' .. pool, home, score, 'XX')
  stand(home, score)
end

local function drop(key, member)
  settle(key)
  redis.call('ZREM', D .. key, member)
end

-- Everything of the tenant in the context is claimed. Whether something of it waits elsewhere.
local function emptied(ctx, home)
  drop('ready:' .. ctx, home)
  redis.call('ZREM', D .. 'where:' .. home, ctx)
  if redis.call('EXISTS', D .. 'where:' .. home) == 1 then return true end
  drop('turn:' .. pool, home)
  return false
end

local function hold_back(ctx, home)
  drop('ready:' .. ctx, home)
  drop('turn:' .. pool, home)
  redis.call('SADD', D .. 'capped:' .. home, ctx)
  lasting['capped:' .. home] = DAY
end

local function serve(ctx, home, score)
  local l = next_of(ctx, home)
  if not l then
    if emptied(ctx, home) then stand(home, score) end
    return
  end
  if not l.task then return stand(home, score) end
  if score > present(pool) then set_present(pool, score) end
  local vt = begin(l, score)
  local waits = redis.call('EXISTS', D .. 'q:' .. ctx .. ':' .. home) == 1
  if waits then
    add('ready:' .. ctx, home, vt)
    redis.call('ZADD', D .. 'where:' .. home, now, ctx)
  end
  if waits or emptied(ctx, home) then turn_at(home, vt) end
end

local function behind(home, score)
  local vt = virtual_time(pool, home)
  return vt > score and vt or nil
end

-- The next of all contexts in which the tenant waits. What is served goes to the end, so one round is in their order.
local function next_place(home)
  local where = D .. 'where:' .. home
  rounds[home] = rounds[home] or { at = 0, all = all_served(where, worker) }
  local round = rounds[home]
  while round.at < #round.all do
    round.at = round.at + 1
    local ctx = round.all[round.at]
    if redis.call('ZSCORE', where, ctx) then return ctx end
  end
  if round.at > 0 then rounds[home] = nil end
  return round.at > 0 and next_place(home) or nil
end

-- Where the tenant has waited longest, of the contexts that the worker serves; false: it waits nowhere at all.
local function place_of(home)
  local ctx, looked = first_served(D .. 'where:' .. home, worker)
  if looked == 0 then return false end
  if ctx or looked < 16 then return ctx end
  return next_place(home)
end

-- One step on the way to the next claim, by tenant: a tenant has one score, however many contexts it waits in.
-- false: the first tenants wait for other workers; nil: so does everybody.
local function by_tenant()
  if first > #line and beyond then read_line() end
  local one = line[first]
  if not one then return nil end
  if passed == 8 then return false end
  first = first + 1
  local home, score = one.home, one.score
  local vt = behind(home, score)
  if vt then
    turn_at(home, vt) -- later, or first again
    return true
  end
  local ctx = place_of(home)
  if ctx == false then
    drop('turn:' .. pool, home)
  elseif not ctx then
    passed = passed + 1
  else
    if full(home) then hold_back(ctx, home) else serve(ctx, home, score) end
    heads[ctx] = pool
  end
  return true
end

-- The contexts that come first of all that the worker serves, with their scores, and the score of the first one behind
-- them: until that one's turn comes they are not sought again.
local NEAR = 128
local near, horizon
local function seek()
  local all = all_served(D .. 'waiting:' .. pool, worker, 'WITHSCORES')
  near, horizon = {}, tonumber(all[2 * NEAR + 2] or math.huge)
  for i = 1, math.min(#all, 2 * NEAR), 2 do near[all[i]] = tonumber(all[i + 1]) end
end

local function nearest()
  local ctx
  for other, score in pairs(near) do
    if not ctx or score < near[ctx] or (score == near[ctx] and other < ctx) then ctx = other end
  end
  return ctx
end

local function next_context()
  local ctx, looked = first_served(D .. 'waiting:' .. pool, worker)
  if ctx or looked < 16 then return ctx end
  if not near then seek() end
  ctx = nearest()
  if (ctx and near[ctx] or math.huge) <= horizon then return ctx end
  seek()
  return nearest()
end

-- The same by context, which finds what a worker of few contexts can do behind whatever others wait for.
local function by_context()
  local ctx = next_context()
  if not ctx then return nil end
  local found = redis.call('ZRANGE', D .. 'ready:' .. ctx, 0, 0, 'WITHSCORES')
  local home, score = found[1], tonumber(found[2])
  if home then
    local vt = behind(home, score)
    if vt then redis.call('ZADD', D .. 'ready:' .. ctx, vt, home)
    elseif full(home) then hold_back(ctx, home)
    else serve(ctx, home, score) end
  end
  show_head(pool, ctx)
  if near then near[ctx] = tonumber(redis.call('ZSCORE', D .. 'waiting:' .. pool, ctx)) end
  return true
end

-- In each call:
worker, lease = ARGV[1], tonumber(ARGV[2])
pool = pool_of_worker(worker)
if not pool then return false end
redis.call('ZADD', D .. 'workers', now + lease, worker)
got, most, estimates, rounds = {}, tonumber(ARGV[3]), {}, {}
line, first, beyond, passed = {}, 1, nil, 0
near, horizon = nil, nil
if most > 0 then read_line() end
local steps, step = 0, by_tenant
while #got < most and steps < 500 do
  local found = step()
  if found == nil then break end
  if found == false then
    show_heads()
    step = by_context
  end
  steps = steps + 1
end
settle_all()
-- Who is that far behind has not come for long.
redis.call('ZREMRANGEBYSCORE', D .. 'vt:' .. pool, '-inf', '(' .. int(present(pool) - 3600e6))

if #got < most then
  redis.call('SADD', D .. 'idle', worker)
  keep('idle')
else
  redis.call('SREM', D .. 'idle', worker)
  local ctx = best(pool, worker)
  if ctx then wake(ctx) end
end
return cmsgpack.pack({ steps == 500, got })
