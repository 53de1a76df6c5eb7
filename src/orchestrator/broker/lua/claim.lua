#!lua library=dispatch
-- Gives a worker the attempts whose turn it is, each with a lease. Whether the worker really gets one is decided by
-- take.lua at its queue: a consumer without leases may have been faster.
-- KEYS[1] {dispatch}:workers   ARGV[1] worker   ARGV[2] lease, ms   ARGV[3] at most so many
-- result  nil: the worker is not registered; else msgpack {again: there was more to look at than one step may, {{task, attempt, context, tier, home}, …}}
-- A worker with a slot left is idle from this very step on, so that no wake-up is lost. One without hands it on.

local worker, lease, pool
local got, estimates, rounds

-- What a run of this context will take, in seconds, as far as earlier ones tell.
local function estimate(ctx)
  estimates[ctx] = estimates[ctx] or tonumber(redis.call('HGET', D .. 'c:' .. ctx, 'avg') or 1)
  return estimates[ctx]
end

local function begin(l, vt, weight)
  local seconds = estimate(l.ctx)
  redis.call('HSET', D .. 'l:' .. l.task, 'state', 'r', 'wkr', worker, 'start', int(now), 'charged', exact(seconds))
  redis.call('ZREM', D .. 'e:' .. l.ctx .. ':' .. l.tier, l.task)
  l.state = 'r'
  hold(l, now + lease)
  set_virtual_time(pool, l.home, vt + seconds / weight)
  got[#got + 1] = { l.task, l.att, l.ctx, l.tier, l.home }
  return vt + seconds / weight
end

-- The next attempt that still waits; one that ended or was tried again since it came here is passed over.
local function next_of(ctx, home)
  local entry = redis.call('LPOP', D .. 'q:' .. ctx .. ':' .. home)
  if not entry then return nil end
  local task, att = entry:match('^(.*) (%d+)$')
  local l = find(task)
  if l and l.state == 'w' and l.att == tonumber(att) then return l end
  return {}
end

-- Everything of the tenant in the context is claimed.
local function emptied(ctx, home)
  redis.call('ZREM', D .. 'ready:' .. ctx, home)
  redis.call('ZREM', D .. 'where:' .. home, ctx)
  if redis.call('EXISTS', D .. 'where:' .. home) == 0 then redis.call('ZREM', D .. 'turn:' .. pool, home) end
end

local function hold_back(ctx, home)
  redis.call('ZREM', D .. 'ready:' .. ctx, home)
  redis.call('ZREM', D .. 'turn:' .. pool, home)
  redis.call('SADD', D .. 'capped:' .. home, ctx)
  keep('capped:' .. home)
end

local function serve(ctx, home, score)
  local l = next_of(ctx, home)
  if not l then return emptied(ctx, home) end
  if not l.task then return end
  if score > present(pool) then set_present(pool, score) end
  local vt = begin(l, score, share_of(home).w)
  if redis.call('EXISTS', D .. 'q:' .. ctx .. ':' .. home) == 0 then emptied(ctx, home) else
    redis.call('ZADD', D .. 'ready:' .. ctx, exact(vt), home)
    redis.call('ZADD', D .. 'where:' .. home, int(now), ctx)
  end
  redis.call('ZADD', D .. 'turn:' .. pool, 'XX', exact(vt), home)
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

-- stale: contexts whose head is to be shown anew before anybody looks for one by its score
local stale, passed

-- One step on the way to the next claim, by tenant: a tenant has one score, however many contexts it waits in.
-- false: the first tenants wait for other workers; nil: so does everybody.
local function by_tenant()
  local first = redis.call('ZRANGE', D .. 'turn:' .. pool, passed, passed, 'WITHSCORES')
  local home, score = first[1], tonumber(first[2])
  if not home then return nil end
  if passed == 8 then return false end
  local vt = behind(home, score)
  if vt then return redis.call('ZADD', D .. 'turn:' .. pool, exact(vt), home) end -- later, or first again
  local ctx = place_of(home)
  if ctx == false then return redis.call('ZREM', D .. 'turn:' .. pool, home) end
  if not ctx then
    passed = passed + 1
    return true
  end
  if full(home) then hold_back(ctx, home) else serve(ctx, home, score) end
  stale[ctx] = true
  return true
end

local function show_heads()
  for ctx in pairs(stale) do show_head(pool, ctx) end
  stale = {}
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
  local first = redis.call('ZRANGE', D .. 'ready:' .. ctx, 0, 0, 'WITHSCORES')
  local home, score = first[1], tonumber(first[2])
  if home then
    local vt = behind(home, score)
    if vt then redis.call('ZADD', D .. 'ready:' .. ctx, exact(vt), home)
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
redis.call('ZADD', D .. 'workers', int(now + lease), worker)
got, estimates, rounds = {}, {}, {}
stale, passed = {}, 0
near, horizon = nil, nil
local most, steps, step = tonumber(ARGV[3]), 0, by_tenant
while #got < most and steps < 500 do
  local found = step()
  if found == nil then break end
  if found == false then
    show_heads()
    step = by_context
  end
  steps = steps + 1
end
show_heads()
-- Who is that far behind has not come for long.
redis.call('ZREMRANGEBYSCORE', D .. 'vt:' .. pool, '-inf', '(' .. exact(present(pool) - 3600))

if #got < most then
  redis.call('SADD', D .. 'idle', worker)
  keep('idle')
else
  redis.call('SREM', D .. 'idle', worker)
  local ctx = best(pool, worker)
  if ctx then wake(ctx) end
end
return cmsgpack.pack({ steps == 500, got })
