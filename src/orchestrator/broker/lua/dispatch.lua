-- Steps that the scripts of the dispatch slot share: who waits, whose turn it is, who runs what.
--
-- `home` is a tenant's callback queue, which names it among all deployments on this server. Moments are milliseconds
-- by the server's clock, virtual times microseconds of one agent divided by the tenant's weight: whole numbers, since Redis
-- reads and writes those fastest. Every key ends by itself: what is lost here is found again by the workers, which look at
-- their queues (docs/architecture.md).

local D = '{dispatch}:'
local DAY, WEEK = 86400, 604800

local now

local function int(x) return string.format('%.0f', x) end

local function keep(key, seconds) redis.call('EXPIRE', D .. key, seconds or DAY) end

-- One call serves many attempts: what they share is read once, and written by `settle_all`, one command a key.
local pools, presents, times, shares, serving, prefixes
local taken_out, added, lasting, shown, freed, drawn, heads

-- Out of a sorted set, later. What is added later is added after that.
local function take_out(key, member)
  local members = taken_out[key] or {}
  taken_out[key] = members
  members[#members + 1] = member
end

-- Into a sorted set, later; the flags of the first are those of all.
local function add(key, member, score, ...)
  local pairs_of_key = added[key] or { ... }
  added[key] = pairs_of_key
  pairs_of_key[#pairs_of_key + 1] = score
  pairs_of_key[#pairs_of_key + 1] = member
end

-- Now, since the key is about to be read.
local function settle(key)
  local all = added[key]
  added[key] = nil
  if all then redis.call('ZADD', D .. key, unpack(all)) end
end

-- What seconds of an agent add to a virtual time.
local function moved(seconds, weight) return math.floor(seconds * 1e6 / weight + 0.5) end

-- The same for one turn: it always comes to something, or nobody else would have one.
local function turn_of(seconds, weight) return math.max(1, moved(seconds, weight)) end

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
  shown[pool], lasting.v = true, WEEK
end

-- Weight and cap of a tenant.
local function share_of(home)
  if not shares[home] then
    local n = redis.call('HMGET', D .. 'n:' .. home, 'w', 'cap')
    shares[home] = { w = tonumber(n[1] or 1), cap = tonumber(n[2] or 0) }
  end
  return shares[home]
end

local function times_of(pool)
  times[pool] = times[pool] or {}
  return times[pool]
end

-- Reads the times of these tenants at once.
local function read_times(pool, homes)
  local known = times_of(pool)
  for i, vt in ipairs(homes[1] and redis.call('ZMSCORE', D .. 'vt:' .. pool, unpack(homes)) or {}) do
    if known[homes[i]] == nil then known[homes[i]] = tonumber(vt or nil) or false end
  end
end

local function virtual_time(pool, home)
  local known = times_of(pool)
  if known[home] == nil then known[home] = tonumber(redis.call('ZSCORE', D .. 'vt:' .. pool, home) or nil) or false end
  return known[home] or present(pool)
end

local function set_virtual_time(pool, home, vt)
  local key = 'vt:' .. pool
  times_of(pool)[home] = vt
  add(key, home, vt)
  lasting[key], lasting.v = DAY, WEEK
end

-- `waiting:<pool>` has each context in which somebody is ready, under the least of their virtual times.
local function show_head(pool, ctx)
  settle('ready:' .. ctx)
  local first = redis.call('ZRANGE', D .. 'ready:' .. ctx, 0, 0, 'WITHSCORES')
  if not first[1] then return redis.call('ZREM', D .. 'waiting:' .. pool, ctx) end
  redis.call('ZADD', D .. 'waiting:' .. pool, first[2], ctx)
  lasting['waiting:' .. pool] = DAY
end

local function show_heads()
  for ctx, pool in pairs(heads) do show_head(pool, ctx) end
  heads = {}
end

-- The tenant has something to claim in the context: in `ready` for who looks by context, in `turn` and `where` for who looks
-- by tenant. Nobody saves up turns for later: who comes (back) begins at the present. A score may fall behind the
-- tenant's virtual time when that rises; claim.lua looks again.
local function offer(ctx, home)
  local pool = pool_of(ctx)
  local vt = math.max(virtual_time(pool, home), present(pool))
  redis.call('ZADD', D .. 'ready:' .. ctx, 'NX', vt, home)
  redis.call('ZADD', D .. 'turn:' .. pool, 'NX', vt, home)
  redis.call('ZADD', D .. 'where:' .. home, 'NX', now, ctx)
  for _, key in ipairs({ 'ready:' .. ctx, 'turn:' .. pool, 'where:' .. home }) do lasting[key] = DAY end
  heads[ctx] = pool
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

local function prefix_of(home)
  prefixes[home] = prefixes[home] or home:match('^(.*):[^:]*:callbacks$') or home
  return prefixes[home]
end

-- In each call:
local clock = redis.call('TIME')
now = clock[1] * 1000 + math.floor(clock[2] / 1000)
pools, presents, times, shares, serving, prefixes = {}, {}, {}, {}, {}, {}
taken_out, added, lasting, shown, freed, drawn, heads = {}, {}, {}, {}, {}, {}, {}
