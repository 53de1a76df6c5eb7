#!lua
-- A worker lives, and which contexts it serves.
-- KEYS[1] {dispatch}:workers   ARGV[1] worker   ARGV[2] lease, ms   ARGV[3] slots   ARGV[4] number of all its contexts
-- ARGV[5…] some of them; none: it has told them all
-- result  1, or 0: it has to tell them all (again)
-- include dispatch

local worker, ends, all = ARGV[1], int(now + tonumber(ARGV[2])), tonumber(ARGV[4])
local HOUR = 3600
local hash, serves = D .. 'w:' .. worker, D .. 'serves:' .. worker

-- Contexts that were in another pool wait by the virtual time of this one from now on.
local function join(ctx, pool)
  local key, old, ready = D .. 'c:' .. ctx, pool_of(ctx), D .. 'ready:' .. ctx
  redis.call('HSET', key, 'pool', pool)
  keep('c:' .. ctx)
  redis.call('SADD', serves, ctx)
  redis.call('SADD', D .. 'workers:' .. ctx, worker)
  keep('workers:' .. ctx, 2 * HOUR)
  if old == pool then return end
  redis.call('ZREM', D .. 'waiting:' .. old, ctx)
  if redis.call('EXISTS', ready) == 0 then return end
  redis.call('ZUNIONSTORE', ready, 1, ready, 'WEIGHTS', 0)
  redis.call('ZUNIONSTORE', D .. 'turn:' .. pool, 2, D .. 'turn:' .. pool, ready, 'WEIGHTS', 1, 0, 'AGGREGATE', 'MIN')
  keep('ready:' .. ctx)
  keep('turn:' .. pool)
  show_head(pool, ctx)
end

local function pool_for()
  local pool = redis.call('HGET', hash, 'pool')
  for i = 5, #ARGV do pool = pool or redis.call('HGET', D .. 'c:' .. ARGV[i], 'pool') end
  return pool or worker
end

-- A dead worker may have been woken and never have come: the next beat of a living idle one looks for it.
local function look(pool)
  for _, dead in ipairs(redis.call('ZRANGEBYSCORE', D .. 'workers', '-inf', int(now), 'LIMIT', 0, 100)) do
    redis.call('ZREM', D .. 'workers', dead)
    redis.call('SREM', D .. 'idle', dead)
    redis.call('UNLINK', D .. 'wake:' .. dead)
  end
  if redis.call('SISMEMBER', D .. 'idle', worker) == 1 and best(pool, worker) then wake_this(worker) end
end

if #ARGV < 5 then
  local pool = redis.call('HGET', hash, 'pool')
  if not pool or redis.call('SCARD', serves) ~= all or redis.call('TTL', serves) < HOUR / 2 then return 0 end
  redis.call('ZADD', D .. 'workers', ends, worker)
  keep('workers')
  look(pool)
  return 1
end
local pool = pool_for()
redis.call('HSET', hash, 'pool', pool, 'slots', ARGV[3])
for i = 5, #ARGV do join(ARGV[i], pool) end
redis.call('ZADD', D .. 'workers', ends, worker)
keep('workers')
keep('w:' .. worker, HOUR)
keep('serves:' .. worker, HOUR)
return 1
