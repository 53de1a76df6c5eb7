#!lua library=dispatch flags=allow-oom
-- Attempts are over: their places are free, and the real seconds of their runs are charged.
-- KEYS[1] {dispatch}:workers
-- ARGV[1] msgpack {worker ('': whoever has it), tell: say so to the worker that has it, ran: it was a whole run, {{task, attempt (0: any)}, …}}
-- result  number of attempts that were known. A repeat finds none.

local worker, telling, ran, known, learnt, gone

-- A tenth of each run goes into what is expected of the next one.
local function learn(ctx, seconds)
  local c = learnt[ctx]
  if not c then
    local told = redis.call('HMGET', D .. 'c:' .. ctx, 'avg', 'dev')
    c = { avg = tonumber(told[1] or seconds), dev = tonumber(told[2] or seconds / 2) }
    learnt[ctx] = c
  end
  c.dev = c.dev + 0.1 * (math.abs(seconds - c.avg) - c.dev)
  c.avg = c.avg + 0.1 * (seconds - c.avg)
end

local function write_learnt()
  for ctx, c in pairs(learnt) do
    redis.call('HSET', D .. 'c:' .. ctx, 'avg', c.avg, 'dev', c.dev)
    keep('c:' .. ctx)
  end
end

-- A worker that knows of no note renews what it has: who takes a run from its worker leaves one, and so does every
-- attempt but the first, since the worker of the one before may only be frozen.
local function note(l)
  redis.call('HSET', D .. 'l:' .. l.task, 'state', 'g')
  keep('l:' .. l.task, 600)
end

local function forget(l)
  local taken = l.state ~= 'w' and worker == ''
  if taken or l.att > 1 then note(l) else gone[#gone + 1] = D .. 'l:' .. l.task end
  if taken and telling then tell(l.wkr, 'gone ' .. l.task .. ' ' .. int(l.att)) end
end

local function finish(l)
  known = known + 1
  if l.state ~= 'w' then
    local seconds = ran and seconds_of(l) or 0
    charge(l, seconds)
    if ran and worker ~= '' then learn(l.ctx, seconds) end
  end
  forget(l)
  release(l)
end

-- In each call:
local tasks
worker, telling, ran, tasks = unpack(cmsgpack.unpack(ARGV[1]))
known, learnt, gone = 0, {}, {}
local seen = {}
for _, pair in ipairs(tasks) do
  local l = not seen[pair[1]] and find(pair[1])
  local meant = l and l.state ~= 'g' and (pair[2] == 0 or pair[2] == l.att) and (worker == '' or worker == l.wkr)
  if meant then
    seen[pair[1]] = true
    finish(l)
  end
end
if gone[1] then redis.call('DEL', unpack(gone)) end
write_learnt()
settle_all()
return known
