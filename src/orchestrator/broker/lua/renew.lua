#!lua library=dispatch flags=allow-oom
-- A worker lives and goes on with what it has: leases begin anew, and what the runs took so far is charged.
-- KEYS[1] {dispatch}:workers   ARGV[1] worker   ARGV[2] lease, ms   ARGV[3] msgpack {{task, attempt, context, tier, home}, …}
-- result  msgpack {place in ARGV[3] of each that is the worker's no more, …}
-- A task that nobody knows here is the worker's still: whoever takes one from a worker leaves a note of it.

local worker, ends

local function go_on(l)
  hold(l, ends)
  lasting['l:' .. l.task] = DAY
end

local function regain(task, att, ctx, tier, home)
  redis.call('HSET', D .. 'l:' .. task, 'att', att, 'state', 'r', 'ctx', ctx, 'tier', tier, 'home', home, 'wkr', worker,
    'start', now, 'charged', 0)
  go_on({ task = task, home = home, state = 'r' })
end

-- Redis may have come back without its last writes: then what is known here is what was before the worker had it.
local function is_earlier(l, att) return l.att < att or (l.att == att and l.state == 'w') end

local function drop(l)
  redis.call('DEL', D .. 'l:' .. l.task)
  release(l)
end

-- In each call:
worker, ends = ARGV[1], now + tonumber(ARGV[2])
if redis.call('EXISTS', D .. 'w:' .. worker) == 1 then redis.call('ZADD', D .. 'workers', ends, worker) end
local lost = {}
for i, held in ipairs(cmsgpack.unpack(ARGV[3])) do
  local l = find(held[1])
  if not l or is_earlier(l, held[2]) then
    if l then drop(l) end
    regain(unpack(held))
  elseif l.att ~= held[2] or l.wkr ~= worker or l.state == 'w' or l.state == 'g' then
    lost[#lost + 1] = i
  else
    go_on(l)
    local seconds = seconds_of(l)
    if seconds > l.charged then
      charge(l, seconds)
      redis.call('HSET', D .. 'l:' .. l.task, 'charged', seconds)
    end
  end
end
settle_all()
return cmsgpack.pack(lost)
