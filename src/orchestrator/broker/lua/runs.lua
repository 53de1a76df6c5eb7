-- Attempts that the dispatch knows: what they are charged, what they hold, and how they are let go.

-- state: w waits, r runs, p waits for a human, g taken from the worker that had it
local function find(task)
  local l = redis.call('HMGET', D .. 'l:' .. task, 'att', 'state', 'ctx', 'tier', 'home', 'wkr', 'start', 'charged', 'away')
  if not l[1] then return nil end
  return { task = task, att = tonumber(l[1]), state = l[2], ctx = l[3], tier = l[4], home = l[5], wkr = l[6] or nil,
    start = tonumber(l[7]), charged = tonumber(l[8]), away = tonumber(l[9]) }
end

local function seconds_of(l) return math.max(0, (l.away or now) - l.start) / 1000 end

-- Runs took less than was expected: the present, which that had moved on, went back, and who began there goes with it,
-- the first 20 tenants in up to 200 places of the pool: one call may not hold Redis for long.
local function draw_back(pool)
  local turn, vt, most = 'turn:' .. pool, present(pool), 200
  set_present(pool, vt)
  settle(turn)
  local later, homes = redis.call('ZRANGEBYSCORE', D .. turn, '(' .. int(vt), '+inf', 'WITHSCORES', 'LIMIT', 0, 20), {}
  for i = 1, #later, 2 do homes[#homes + 1] = later[i] end
  read_times(pool, homes)
  for i, home in ipairs(homes) do
    local own = math.max(virtual_time(pool, home), vt)
    if own < tonumber(later[2 * i]) then
      add(turn, home, own, 'XX')
      local places = redis.call('ZRANGE', D .. 'where:' .. home, 0, most - 1)
      most = most - #places
      for _, ctx in ipairs(places) do
        if pool_of(ctx) == pool then
          add('ready:' .. ctx, home, own, 'XX', 'LT')
          heads[ctx] = pool
        end
      end
      if most <= 0 then return end
    end
  end
end

-- `vt` rises by what the run has taken beyond what it was charged for; it falls where it took less.
local function charge(l, seconds)
  local pool, weight = pool_of(l.ctx), share_of(l.home).w
  local rise = moved(seconds - l.charged, weight)
  local vt = virtual_time(pool, l.home) + rise
  set_virtual_time(pool, l.home, vt)
  if seconds >= l.charged then return end
  add('turn:' .. pool, l.home, vt, 'XX', 'LT')
  add('ready:' .. l.ctx, l.home, vt, 'XX', 'LT')
  heads[l.ctx] = pool
  -- By no more than that: somebody whom a cap holds back stands far behind, and nobody else may begin there.
  local back = math.max(vt, present(pool) + rise)
  if back < present(pool) then
    presents[pool] = back
    drawn[pool] = true
  end
end

-- A lease that is over holds no place, whoever may still have to look after its task.
local function running(home)
  settle('run:' .. home)
  return redis.call('ZCOUNT', D .. 'run:' .. home, '(' .. int(now), '+inf')
end

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
  add(leases, l.task, ends)
  lasting[leases] = DAY
  if l.state ~= 'r' then return end
  add(run, l.task, ends)
  lasting[run] = DAY
end

local function release(l)
  if l.state == 'w' then
    take_out('e:' .. l.ctx .. ':' .. l.tier, l.task)
  else
    take_out('leases:' .. prefix_of(l.home), l.task)
    take_out('run:' .. l.home, l.task)
    freed[l.home] = true
  end
end

-- What the call has left to write. The places that are free are given away before anybody is drawn back: who gets one
-- begins at the present, too.
local function settle_all()
  for key, members in pairs(taken_out) do redis.call('ZREM', D .. key, unpack(members)) end
  for home in pairs(freed) do uncap(home) end
  for pool in pairs(drawn) do draw_back(pool) end
  show_heads()
  for key, all in pairs(added) do redis.call('ZADD', D .. key, unpack(all)) end
  for pool in pairs(shown) do redis.call('HSET', D .. 'v', pool, presents[pool]) end
  for key, seconds in pairs(lasting) do keep(key, seconds) end
  taken_out, added, lasting, shown, freed, drawn = {}, {}, {}, {}, {}, {}
end
