-- Steps that the scripts of the dispatch slot share: who waits, whose turn it is, who runs what.
--
-- `home` is a tenant's callback queue, which names it among all deployments on this server. Moments are milliseconds
-- by the server's clock, virtual times seconds of one agent divided by the tenant's weight. Every key ends by itself:
-- what is lost here is found again by the workers, which look at their queues (docs/architecture.md).

local D = '{dispatch}:'
local DAY, WEEK = 86400, 604800

local now

local function int(x) return string.format('%.0f', x) end

local function exact(x) return string.format('%.17g', x) end

local function keep(key, seconds) redis.call('EXPIRE', D .. key, seconds or DAY) end

-- One call serves many attempts: what they share is read, and kept, once. Who takes something out of a key forgets that
-- it was kept, since it may be gone.
local kept, pools, presents, shares, serving, drawn

local function keep_once(key, seconds)
  if not kept[key] then keep(key, seconds) end
  kept[key] = true
end

-- A pool: contexts that the same workers serve, directly or by way of others. They share one virtual time. A pool that went
-- into another one goes by that one's name: its workers still bear the old one.
local function root(pool)
  for _ = 1, 64 do
    local into = redis.call('HGET', D .. 'pools', pool)
    if not into then break end
    pool = into
  end
  return pool
end

local function pool_of(ctx)
  if not pools[ctx] then
    local pool = redis.call('HGET', D .. 'c:' .. ctx, 'pool')
    pools[ctx] = pool and root(pool) or 'common'
  end
  return pools[ctx]
end

local function pool_of_worker(worker)
  local pool = redis.call('HGET', D .. 'w:' .. worker, 'pool')
  return pool and root(pool) or nil
end

local function present(pool)
  presents[pool] = presents[pool] or tonumber(redis.call('HGET', D .. 'v', pool) or 0)
  return presents[pool]
end

local function set_present(pool, vt)
  presents[pool] = vt
  if redis.call('HSET', D .. 'v', pool, exact(vt)) == 1 then keep('v', WEEK) end
end

-- Weight and cap of a tenant.
local function share_of(home)
  if not shares[home] then
    local n = redis.call('HMGET', D .. 'n:' .. home, 'w', 'cap')
    shares[home] = { w = tonumber(n[1] or 1), cap = tonumber(n[2] or 0) }
  end
  return shares[home]
end

local function virtual_time(pool, home) return tonumber(redis.call('ZSCORE', D .. 'vt:' .. pool, home) or present(pool)) end

local function set_virtual_time(pool, home, vt)
  redis.call('ZADD', D .. 'vt:' .. pool, exact(vt), home)
  keep_once('vt:' .. pool)
  keep_once('v', WEEK)
end

-- `waiting:<pool>` has each context in which somebody is ready, under the least of their virtual times.
local function show_head(pool, ctx)
  local first = redis.call('ZRANGE', D .. 'ready:' .. ctx, 0, 0, 'WITHSCORES')
  if not first[1] then return redis.call('ZREM', D .. 'waiting:' .. pool, ctx) end
  redis.call('ZADD', D .. 'waiting:' .. pool, first[2], ctx)
  keep('waiting:' .. pool)
end

-- The tenant has something to claim in the context: in `ready` for who looks by context, in `turn` and `where` for who looks
-- by tenant. Nobody saves up turns for later: who comes (back) begins at the present. A score may fall behind the
-- tenant's virtual time when that rises; claim.lua looks again.
local function offer(ctx, home)
  local pool = pool_of(ctx)
  local vt = exact(math.max(virtual_time(pool, home), present(pool)))
  redis.call('ZADD', D .. 'ready:' .. ctx, 'NX', vt, home)
  redis.call('ZADD', D .. 'turn:' .. pool, 'NX', vt, home)
  redis.call('ZADD', D .. 'where:' .. home, 'NX', int(now), ctx)
  for _, key in ipairs({ 'ready:' .. ctx, 'turn:' .. pool, 'where:' .. home }) do keep(key) end
  show_head(pool, ctx)
end

local function alive(worker) return tonumber(redis.call('ZSCORE', D .. 'workers', worker) or 0) > now end

local function tell(worker, what)
  redis.call('RPUSH', D .. 'wake:' .. worker, what)
  redis.call('LTRIM', D .. 'wake:' .. worker, -1000, -1)
  keep('wake:' .. worker, 60)
end

local function wake_this(worker)
  redis.call('SREM', D .. 'idle', worker)
  if not alive(worker) then return false end
  tell(worker, 'claim')
  return true
end

-- Wakes one live idle worker that serves the context. Mostly all do, so some are tried before the sets are compared.
local function wake(ctx)
  for _, worker in ipairs(redis.call('SRANDMEMBER', D .. 'idle', 5)) do
    if redis.call('SISMEMBER', D .. 'workers:' .. ctx, worker) == 1 and wake_this(worker) then return end
  end
  for i, worker in ipairs(redis.call('SINTER', D .. 'idle', D .. 'workers:' .. ctx)) do
    if i > 100 or wake_this(worker) then return end
  end
end

local function serves_ctx(worker, ctx)
  local known = serving[worker] or {}
  serving[worker] = known
  if known[ctx] == nil then known[ctx] = redis.call('SISMEMBER', D .. 'serves:' .. worker, ctx) == 1 end
  return known[ctx]
end

-- Of the first contexts of a sorted set one that the worker serves; then how many were looked at: behind 16 may be more.
local function first_served(key, worker)
  local first = redis.call('ZRANGE', key, 0, 15)
  if not first[1] then return nil, 0 end
  for _, ctx in ipairs(first) do
    if serves_ctx(worker, ctx) then return ctx, #first end
  end
  return nil, #first
end

-- All that the worker serves, in their order: as many as there are, so once in a script.
local function all_served(key, worker, ...)
  return redis.call('ZINTER', 2, key, D .. 'serves:' .. worker, 'WEIGHTS', 1, 0, ...)
end

-- The context whose turn it is, of those that the worker serves.
local function best(pool, worker)
  if redis.call('EXISTS', D .. 'turn:' .. pool) == 0 then return nil end
  local ctx, looked = first_served(D .. 'waiting:' .. pool, worker)
  if ctx or looked < 16 then return ctx end
  return all_served(D .. 'waiting:' .. pool, worker)[1]
end

local function prefix_of(home) return home:match('^(.*):[^:]*:callbacks$') or home end

local LEASE = { 'att', 'state', 'ctx', 'tier', 'home', 'wkr', 'start', 'charged', 'away' }

-- state: w waits, r runs, p waits for a human, g taken from the worker that had it
local function find(task)
  local h = redis.call('HMGET', D .. 'l:' .. task, unpack(LEASE))
  if not h[1] then return nil end
  local l = { task = task }
  for i, name in ipairs(LEASE) do l[name] = h[i] or nil end
  for _, name in ipairs({ 'att', 'start', 'charged', 'away' }) do l[name] = tonumber(l[name]) end
  return l
end

local function seconds_of(l) return math.max(0, (l.away or now) - l.start) / 1000 end

-- Runs took less than was expected: the present, which that had moved on, went back, and who began there goes with it,
-- the first 20 tenants in up to 200 places of the pool: one call may not hold Redis for long.
local function draw_back(pool)
  local vt, most = present(pool), 200
  set_present(pool, vt)
  local later = redis.call('ZRANGEBYSCORE', D .. 'turn:' .. pool, '(' .. exact(vt), '+inf', 'WITHSCORES', 'LIMIT', 0, 20)
  for i = 1, #later, 2 do
    local home = later[i]
    local own = math.max(virtual_time(pool, home), vt)
    if own < tonumber(later[i + 1]) then
      redis.call('ZADD', D .. 'turn:' .. pool, 'XX', exact(own), home)
      local places = redis.call('ZRANGE', D .. 'where:' .. home, 0, most - 1)
      most = most - #places
      for _, ctx in ipairs(places) do
        if pool_of(ctx) == pool and redis.call('ZADD', D .. 'ready:' .. ctx, 'XX', 'LT', 'CH', exact(own), home) == 1 then show_head(pool, ctx) end
      end
      if most <= 0 then return end
    end
  end
end

-- `vt` rises by what the run has taken beyond what it was charged for; it falls where it took less.
local function charge(l, seconds)
  local pool, key = pool_of(l.ctx), D .. 'ready:' .. l.ctx
  local weight = share_of(l.home).w
  local vt = virtual_time(pool, l.home) + (seconds - l.charged) / weight
  set_virtual_time(pool, l.home, vt)
  if seconds >= l.charged then return end
  redis.call('ZADD', D .. 'turn:' .. pool, 'XX', 'LT', exact(vt), l.home)
  if redis.call('ZADD', key, 'XX', 'LT', 'CH', exact(vt), l.home) == 1 then show_head(pool, l.ctx) end
  -- By no more than that: somebody whom a cap holds back stands far behind, and nobody else may begin there.
  local back = math.max(vt, present(pool) - (l.charged - seconds) / weight)
  if back < present(pool) then
    presents[pool] = back
    drawn[pool] = true
  end
end

-- What `charge` has left: once, however many were charged.
local function draw_all_back()
  for pool in pairs(drawn) do draw_back(pool) end
end

-- A lease that is over holds no place, whoever may still have to look after its task.
local function running(home) return redis.call('ZCOUNT', D .. 'run:' .. home, '(' .. int(now), '+inf') end

local function full(home)
  local cap = share_of(home).cap
  return cap > 0 and running(home) >= cap
end

-- A place is free: wherever the tenant was held back it is ready again, in up to 100 contexts at a time.
local function uncap(home)
  local capped = D .. 'capped:' .. home
  if redis.call('EXISTS', capped) == 0 or full(home) then return end
  for _, ctx in ipairs(redis.call('SPOP', capped, 100)) do
    offer(ctx, home)
    wake(ctx)
  end
end

-- The run may last until then, and holds a place unless it waits for a human.
local function hold(l, ends)
  local leases, run = 'leases:' .. prefix_of(l.home), 'run:' .. l.home
  redis.call('ZADD', D .. leases, int(ends), l.task)
  keep_once(leases)
  keep('l:' .. l.task)
  if l.state ~= 'r' then return end
  redis.call('ZADD', D .. run, int(ends), l.task)
  keep_once(run)
end

local function release(l)
  if l.state == 'w' then
    redis.call('ZREM', D .. 'e:' .. l.ctx .. ':' .. l.tier, l.task)
  else
    local leases, run = 'leases:' .. prefix_of(l.home), 'run:' .. l.home
    redis.call('ZREM', D .. leases, l.task)
    redis.call('ZREM', D .. run, l.task)
    kept[leases], kept[run] = nil, nil
    uncap(l.home)
  end
end

-- In each call:
local clock = redis.call('TIME')
now = clock[1] * 1000 + math.floor(clock[2] / 1000)
kept, pools, presents, shares, serving, drawn = {}, {}, {}, {}, {}, {}
