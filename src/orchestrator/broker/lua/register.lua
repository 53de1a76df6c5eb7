#!lua library=dispatch
-- A worker lives, and which contexts it serves.
-- KEYS[1] {dispatch}:workers   ARGV[1] worker   ARGV[2] lease, ms   ARGV[3] slots   ARGV[4] number of all its contexts
-- ARGV[5…] some of them; none: it has told them all
-- result  1, or 0: it has to tell them all (again)

local HOUR = 3600
local worker, serves

-- Times of one pool say nothing in another: who waits begins at the present there (claim.lua).
local function forget_times(ctx)
  redis.call('ZUNIONSTORE', D .. 'ready:' .. ctx, 1, D .. 'ready:' .. ctx, 'WEIGHTS', 0)
  keep('ready:' .. ctx)
end

local function add_timeless(key, other)
  redis.call('ZUNIONSTORE', D .. key, 2, D .. key, D .. other, 'WEIGHTS', 1, 0, 'AGGREGATE', 'MIN')
  keep(key)
end

-- Two pools are one from now on; the answer is its name. The lesser name stays, whoever came first: names are random, so
-- chains of them are short.
local function merge(one, other)
  local pool, old = one, other
  if other < one then pool, old = other, one end
  for _, ctx in ipairs(redis.call('ZRANGE', D .. 'waiting:' .. old, 0, -1)) do forget_times(ctx) end
  for _, kind in ipairs({ 'turn:', 'waiting:' }) do add_timeless(kind .. pool, kind .. old) end
  redis.call('DEL', D .. 'turn:' .. old, D .. 'waiting:' .. old, D .. 'vt:' .. old)
  redis.call('HDEL', D .. 'v', old)
  redis.call('HSET', D .. 'pools', old, pool)
  return pool
end

-- What waits in the context though no worker has served it so far.
local function adopt(ctx, pool)
  redis.call('ZREM', D .. 'waiting:common', ctx)
  if redis.call('EXISTS', D .. 'ready:' .. ctx) == 0 then return end
  forget_times(ctx)
  add_timeless('turn:' .. pool, 'ready:' .. ctx)
  show_head(pool, ctx)
end

-- The worker serves the context; the answer is the name of its pool, which is that of both from now on.
local function join(ctx, pool)
  local old = pool_of(ctx)
  redis.call('SADD', serves, ctx)
  redis.call('SADD', D .. 'workers:' .. ctx, worker)
  keep('workers:' .. ctx, 2 * HOUR)
  if old ~= pool and old ~= 'common' then pool = merge(old, pool) end
  redis.call('HSET', D .. 'c:' .. ctx, 'pool', pool)
  pools[ctx] = pool
  keep('c:' .. ctx)
  if old == 'common' then adopt(ctx, pool) end
  return pool
end

local function pool_for()
  local pool = pool_of_worker(worker)
  for i = 5, #ARGV do
    if pool then return pool end
    pool = redis.call('HGET', D .. 'c:' .. ARGV[i], 'pool')
    pool = pool and root(pool)
  end
  return pool or root(worker)
end

-- A dead worker may have been woken and never have come: the next beat of a living idle one looks for it.
local function look(pool)
  for _, dead in ipairs(redis.call('ZRANGEBYSCORE', D .. 'workers', '-inf', now, 'LIMIT', 0, 100)) do
    redis.call('ZREM', D .. 'workers', dead)
    redis.call('SREM', D .. 'idle', dead)
    redis.call('UNLINK', D .. 'wake:' .. dead)
  end
  if redis.call('SISMEMBER', D .. 'idle', worker) == 1 and best(pool, worker) then wake_this(worker) end
end

-- In each call:
local ends, all = int(now + tonumber(ARGV[2])), tonumber(ARGV[4])
worker = ARGV[1]
serves = D .. 'serves:' .. worker
if #ARGV < 5 then
  local pool = pool_of_worker(worker)
  if not pool or redis.call('SCARD', serves) ~= all or redis.call('TTL', serves) < HOUR / 2 then return 0 end
  redis.call('ZADD', D .. 'workers', ends, worker)
  keep('workers')
  keep('pools', WEEK)
  look(pool)
  return 1
end
local pool = pool_for()
for i = 5, #ARGV do pool = join(ARGV[i], pool) end
redis.call('HSET', D .. 'w:' .. worker, 'pool', pool, 'slots', ARGV[3])
redis.call('ZADD', D .. 'workers', ends, worker)
keep('workers')
keep('pools', WEEK)
keep('w:' .. worker, HOUR)
keep('serves:' .. worker, HOUR)
settle_all()
return 1
