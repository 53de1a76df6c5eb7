#!lua flags=allow-oom
-- What is due for a tenant: overdue tasks end as timeout, leases that are over start the next attempt; what should be on
-- its queue and is not is listed.
-- KEYS[1] callback queue   ARGV[1] msgpack {keep…, heard: for how long agents could be heard by whoever looks here, µs}
-- result  {msgpack {ended {{task, status, µs, session}, …}, next (µs; 0: nothing to look after), waiting: LLEN, lost: leases that were over,
--         turns: sessions with held messages, to be looked at, moves: see `move` in course.lua,
--         waits {{task, attempt, status, context, tier, queue, waited µs, next attempt in µs}, …}: whose wait is to be explained, errands: see errands.lua}, payload of each errand, …}

local a, t, turns, seen, still_held, next_look

-- A task and its session, where it has not ended.
local function find_due(id)
  local found = load_task(t, id)
  local its_session = found and not ENDED[found.status] and session_of(t, found)
  return found, its_session
end

-- Entries of a sorted set whose moment has come, with their open tasks; an entry that points at nothing is dropped.
local function each_due(name, handle)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', t.T .. name, '-inf', now, 'LIMIT', 0, 100)) do
    -- A record or session that cannot be read must not keep the others from their turn.
    local readable, task, s = pcall(find_due, id)
    if readable and s then
      handle(s, task)
    elseif not readable then
      redis.call('ZADD', t.T .. name, int(now + 60000000), id) -- in a minute it may be readable again
    else
      redis.call('ZREM', t.T .. name, id)
    end
  end
end

local function end_overdue(s, task)
  if task.status == 'input_required' then return close_question(t, s, task, nil) end
  if not TAKEN[task.status] then errand(t, task, true) end
  end_task(t, s, task, 'timeout', 'deadline', '', true)
end

local function end_lease(s, task)
  -- Where Redis was away nobody could renew: a lease goes on for as long as it is given.
  if a.heard < (task.lease or 0) then task.leased_until = now + task.lease - a.heard else try_again(t, s, task, '') end
end

-- Whoever ended what a message waited for may have died before it let the message go.
local function note_turn(s, task)
  if (task.held or '') == '' then return redis.call('ZREM', t.T .. 'held', task.id) end
  still_held[#still_held + 1] = task
  if not seen[s.id] then seen[s.id], turns[#turns + 1] = true, s.id end
end

local function sooner(name, later)
  local first = redis.call('ZRANGE', t.T .. name, 0, 0, 'WITHSCORES')
  if first[2] then next_look = math.min(next_look, tonumber(first[2]) + later) end
end

-- In each call:
a = cmsgpack.unpack(ARGV[1])
t, turns, seen, still_held, next_look = open_tenant(KEYS[1], a), {}, {}, {}, 0
touch_tenant(t)
each_due('outstanding', end_overdue)
each_due('leases', end_lease)
each_due('held', note_turn)
-- Whoever has put the tenant on the agenda before finds by this that the plan is another one now (agenda.py).
redis.call('HSET', t.T .. 'tenant', 'tended', now)
redis.call('EXPIRE', t.T .. 'tenant', 14 * 86400)
commit(t)
for _, task in ipairs(still_held) do keep_score(t, 'held', now + PATIENCE, task) end
local telling = list_waits(t) -- before the next line, which changes when an attempt is due
list_due_pushes(t)
publish(t)

local head = redis.call('ZRANGE', t.T .. 'outstanding', 0, 0, 'WITHSCORES')
local waiting = redis.call('LLEN', KEYS[1])
local recent = {}
for back = 0, 6 do recent[back + 1] = t.T .. 'stats:' .. int(math.floor(now / 600000000) - back) end
-- A record that was lost left its share in the sums; they are nothing where nothing is outstanding.
if not head[2] then redis.call('HDEL', t.T .. 'tenant', 'bytes', 'running') end
if head[2] then
  next_look = math.min(tonumber(head[2]), now + 60000000)
  sooner('unpushed', PATIENCE)
  sooner('leases', 0)
  sooner('held', 0)
  next_look = math.min(next_look, telling or next_look)
elseif waiting > 0 then
  next_look = now + 60000000
elseif redis.call('EXISTS', unpack(recent)) > 0 then
  next_look = now + 3600000000
end
return with_errands(t, { ended = t.ended, next = next_look, waiting = waiting, turns = turns,
  waits = t.waits, moves = t.moves, lost = t.counts['retried|worker_lost'] or 0 })
