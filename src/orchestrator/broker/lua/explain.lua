#!lua library=dispatch flags=allow-oom,no-writes
-- Where attempts of a tenant stand in the fair order, and what serves their queues.
-- KEYS[1] {dispatch}:workers   ARGV[1] msgpack {home, {{task, attempt, context, tier}, …}}, 20 at most
-- result  msgpack {{Place (protocol/waiting.py), false where the attempt does not wait here; Supply}, …}
-- A tenant takes its next turn when its virtual time is the least, and then it rises by what a run takes divided by the
-- tenant's weight. So of another tenant those come first whose turns lie before the one that is asked for. A tenant that
-- waits in several contexts has a turn in each, one after the other. 200 tenants are looked at, 100 contexts, and 200 of
-- the tenant's own attempts: each costs up to four reads.

local TENANTS_MAX, CONTEXTS_MAX, OWN_MAX = 200, 100, 200
local home, weight, cap, home_running, capped_contexts
local looked, rivals, own_looked, heads, own_contexts

local function seconds_of_a_run(ctx) return tonumber(redis.call('HGET', D .. 'c:' .. ctx, 'avg') or 1) end

-- Who is ready in a context, the first first; `whole` unless that are more than may still be looked at.
local function rivals_of(pool, ctx)
  if rivals[ctx] then return rivals[ctx] end
  local found, key = { whole = true, run = seconds_of_a_run(ctx) }, D .. 'ready:' .. ctx
  local least = redis.call('ZRANGE', key, 0, math.max(0, TENANTS_MAX - looked - 1), 'WITHSCORES')
  found.whole = looked < TENANTS_MAX and #least / 2 == redis.call('ZCARD', key)
  local homes = {}
  for i = 1, looked < TENANTS_MAX and #least or 0, 2 do homes[#homes + 1] = least[i] end
  local times = homes[1] and redis.call('ZMSCORE', D .. 'vt:' .. pool, unpack(homes))
  for i, who in ipairs(homes) do
    -- A score may lie before the tenant's virtual time; who has none is at the present, which his score is.
    found[i] = { home = who, vt = math.max(tonumber(least[2 * i]), tonumber(times[i] or present(pool))),
      turn = turn_of(found.run, tonumber(redis.call('HGET', D .. 'n:' .. who, 'w') or 1)),
      waiting = redis.call('LLEN', D .. 'q:' .. ctx .. ':' .. who), contexts = math.max(1, redis.call('ZCARD', D .. 'where:' .. who)) }
  end
  looked = looked + #found
  rivals[ctx] = found
  return found
end

-- How many turns of the others lie before `turn`. Of two at the same time the one with the lesser name is first.
local function turns_before(found, turn)
  local sum = 0
  for i = 1, #found do
    local other = found[i]
    local turns = (turn - other.vt) / other.turn
    if turns >= 0 and other.home ~= home then
      local n = math.ceil(turns)
      if n == turns and other.home < home then n = n + 1 end
      sum = sum + math.min(math.ceil(n / other.contexts), other.waiting)
    end
  end
  return sum
end

-- Which entries at the head of the tenant's lists wait no more, though nobody has passed them over yet.
local function head_of(ctx, upto)
  local head = heads[ctx] or { upto = 0, stale = {} }
  heads[ctx] = head
  local last = math.min(upto, head.upto + OWN_MAX - own_looked)
  local entries = last > head.upto and redis.call('LRANGE', D .. 'q:' .. ctx .. ':' .. home, head.upto, last - 1) or {}
  for i, entry in ipairs(entries) do
    local task, att = entry:match('^(.*) (%d+)$')
    local l = redis.call('HMGET', D .. 'l:' .. task, 'state', 'att')
    if l[1] ~= 'w' or l[2] ~= att then table.insert(head.stale, head.upto + i - 1) end
  end
  head.upto, own_looked = head.upto + #entries, own_looked + #entries
  return head
end

local function stale_before(ctx, index)
  local n = 0
  for _, at in ipairs(head_of(ctx, index).stale) do if at < index then n = n + 1 end end
  return n
end

-- The tenant's other contexts, in which it has its turns between those in this one: how many, and what they come to.
local function own_turns_elsewhere(ctx, own)
  if not own_contexts then
    own_contexts = {}
    for i, other in ipairs(redis.call('ZRANGE', D .. 'where:' .. home, 0, CONTEXTS_MAX - 1)) do
      own_contexts[i] = { ctx = other, waiting = redis.call('LLEN', D .. 'q:' .. other .. ':' .. home), run = seconds_of_a_run(other) }
    end
  end
  local turns, rise, first = 0, 0, 1
  for _, other in ipairs(own_contexts) do
    if other.ctx == ctx then
      first = 0 -- those behind it have had their turn before
    else
      local n = math.min(other.waiting, own + first)
      turns, rise = turns + n, rise + n * turn_of(other.run, weight)
    end
  end
  return turns, rise
end

local function place_of(task, att, ctx)
  local index = redis.call('LPOS', D .. 'q:' .. ctx .. ':' .. home, task .. ' ' .. int(att))
  local l = redis.call('HMGET', D .. 'l:' .. task, 'state', 'att')
  if not index or l[1] ~= 'w' or tonumber(l[2]) ~= att then return nil end
  local pool = pool_of(ctx)
  local found = rivals_of(pool, ctx)
  local own = index - stale_before(ctx, index)
  local score = tonumber(redis.call('ZSCORE', D .. 'ready:' .. ctx, home) or present(pool))
  local elsewhere, rise = own_turns_elsewhere(ctx, own)
  local turn = math.max(score, virtual_time(pool, home)) + own * turn_of(found.run, weight) + rise
  return { own = own, ahead = own + turns_before(found, turn), beside = elsewhere, more = not found.whole, running = home_running, cap = cap,
    capped_contexts = capped_contexts }, turn, pool
end

-- What the same workers may have to do first for others in other contexts; nil where that is more than may be looked at.
local function turns_beside(turn, pool, ctx)
  local others, sum = redis.call('ZRANGE', D .. 'waiting:' .. pool, '-inf', '(' .. int(turn), 'BYSCORE', 'LIMIT', 0, CONTEXTS_MAX), 0
  if #others == CONTEXTS_MAX then return nil end
  for _, other in ipairs(others) do
    if other ~= ctx then
      local found = rivals_of(pool, other)
      if not found.whole then return nil end
      sum = sum + turns_before(found, turn)
    end
  end
  return sum
end

-- In each call:
local asked
home, asked = unpack(cmsgpack.unpack(ARGV[1]))
weight = tonumber(redis.call('HGET', D .. 'n:' .. home, 'w') or 1)
cap = tonumber(redis.call('HGET', D .. 'n:' .. home, 'cap') or 0)
home_running, capped_contexts = running(home), redis.call('SCARD', D .. 'capped:' .. home)
looked, rivals, own_looked, heads, own_contexts = 0, {}, 0, {}, nil
local told, later = {}, {}
for i, a in ipairs(asked) do
  local task, att, ctx, tier = unpack(a)
  local place, turn, pool = place_of(task, att, ctx)
  told[i] = { place or false, supply(ctx, tier) }
  -- Later: what is looked at is counted, and the contexts that are asked for go first.
  if place then
    later[#later + 1] = { place, turn, pool, ctx }
  end
end
for _, one in ipairs(later) do
  local place = one[1]
  local others = turns_beside(unpack(one, 2))
  place.beside = others and place.beside + others
end
return cmsgpack.pack(told)
