#!lua
-- Gives a worker the attempts whose turn it is, each with a lease. Whether the worker really gets one is decided by
-- take.lua at its queue: a consumer without leases may have been faster.
-- KEYS[1] {dispatch}:workers   ARGV[1] worker   ARGV[2] lease, ms   ARGV[3] at most so many
-- result  nil: the worker is not registered; else msgpack {again: there was more to look at than one step may, {{task, attempt, context, tier, home}, …}}
-- A worker with a slot left is idle from this very step on, so that no wake-up is lost. One without hands it on.
-- include dispatch

local worker, lease, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local pool = redis.call('HGET', D .. 'w:' .. worker, 'pool')
if not pool then return false end
redis.call('ZADD', D .. 'workers', int(now + lease), worker)
local got, estimates = {}, {}

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

local function serve(ctx, home, score)
  local ready = D .. 'ready:' .. ctx
  local vt, weight = tonumber(redis.call('ZSCORE', D .. 'vt:' .. pool, home) or 0), tonumber(redis.call('HGET', D .. 'n:' .. home, 'w') or 1)
  if vt > score then return redis.call('ZADD', ready, exact(vt), home) end
  if full(home) then
    redis.call('ZREM', ready, home)
    redis.call('SADD', D .. 'capped:' .. home, ctx)
    return keep('capped:' .. home)
  end
  local l = next_of(ctx, home)
  if not l then return redis.call('ZREM', ready, home) end
  if not l.task then return end
  redis.call('HSET', D .. 'v', pool, exact(math.max(present(pool), score)))
  vt = begin(l, score, weight)
  if redis.call('EXISTS', D .. 'q:' .. ctx .. ':' .. home) == 1 then
    redis.call('ZADD', ready, exact(vt), home)
  else
    redis.call('ZREM', ready, home)
  end
end

local steps, ctx = 0, nil
while #got < most and steps < 500 do
  ctx = best(pool, worker)
  if not ctx then break end
  local first = redis.call('ZRANGE', D .. 'ready:' .. ctx, 0, 0, 'WITHSCORES')
  if first[1] then serve(ctx, first[1], tonumber(first[2])) end
  show_head(pool, ctx)
  steps = steps + 1
end
-- Who is that far behind has not come for long.
redis.call('ZREMRANGEBYSCORE', D .. 'vt:' .. pool, '-inf', '(' .. exact(present(pool) - 3600))

if #got < most then
  redis.call('SADD', D .. 'idle', worker)
  keep('idle')
else
  redis.call('SREM', D .. 'idle', worker)
  ctx = best(pool, worker)
  if ctx then wake(ctx) end
end
return cmsgpack.pack({ #got < most and ctx ~= nil, got })
