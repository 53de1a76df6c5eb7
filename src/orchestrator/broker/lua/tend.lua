#!lua flags=allow-oom
-- What is due for a tenant: overdue tasks end as timeout; what was recorded and not pushed is listed.
-- KEYS[1] callback queue   ARGV[1] msgpack {keep…, patience: µs after which a record counts as not pushed}
-- result  {msgpack {ended {{task, status, µs, session}, …}, next (µs; 0: nothing to look after), waiting: LLEN,
--         errands {{task, attempt, queue, marker life ms, withdraw?}, …}}, payload of each errand, …}

local a = cmsgpack.unpack(ARGV[1])
local t = open_tenant(KEYS[1], a)
touch_tenant(t)
local errands, payloads = {}, {}

local function errand(task, withdraw)
  local h = redis.call('HMGET', t.T .. 'task:' .. task.id, 'queue', 'payload')
  if not h[2] then return end
  errands[#errands + 1] = { task.id, task.attempt, h[1], math.max(0, math.ceil((task.deadline - now) / 1000)) + 60000, withdraw }
  payloads[#payloads + 1] = h[2]
end

local overdue = redis.call('ZRANGEBYSCORE', t.T .. 'outstanding', '-inf', int(now), 'LIMIT', 0, 100)
for _, id in ipairs(overdue) do
  -- A record or session that cannot be read must not keep the others from ending.
  local readable, task, s = pcall(function()
    local found = load_task(t, id)
    return found, found and not ENDED[found.status] and session_of(t, found)
  end)
  if readable and s then
    if not task.started_at then errand(task, true) end
    end_task(t, s, task, 'timeout', 'deadline', '', true)
  elseif not readable then
    redis.call('ZADD', t.T .. 'outstanding', int(now + 60000000), id) -- in a minute it may be readable again
  else
    -- Its record is gone or ended: nothing is outstanding but this entry.
    redis.call('ZREM', t.T .. 'outstanding', id)
  end
end
commit(t)

local unpushed = redis.call('ZRANGEBYSCORE', t.T .. 'unpushed', '-inf', int(now - a.patience), 'LIMIT', 0, 100)
for _, id in ipairs(unpushed) do
  local readable, task = pcall(load_task, t, id)
  if not readable then
    redis.call('ZADD', t.T .. 'unpushed', int(now), id)
  elseif not task or ENDED[task.status] then
    redis.call('ZREM', t.T .. 'unpushed', id)
  else
    errand(task, false)
  end
end
publish(t)

local head = redis.call('ZRANGE', t.T .. 'outstanding', 0, 0, 'WITHSCORES')
local waiting = redis.call('LLEN', KEYS[1])
local recent = {}
for back = 0, 6 do recent[back + 1] = t.T .. 'stats:' .. int(math.floor(now / 600000000) - back) end
local next_look = 0
-- A record that was lost left its share in the sums; they are nothing where nothing is outstanding.
if not head[2] then redis.call('HDEL', t.T .. 'tenant', 'bytes', 'running') end
if head[2] then
  next_look = math.min(tonumber(head[2]), now + 60000000)
  if redis.call('EXISTS', t.T .. 'unpushed') == 1 then next_look = math.min(next_look, now + a.patience) end
elseif waiting > 0 then
  next_look = now + 60000000
elseif redis.call('EXISTS', unpack(recent)) > 0 then
  next_look = now + 3600000000
end
local reply = { cmsgpack.pack({ ended = t.ended, next = next_look, waiting = waiting, errands = errands }) }
for i, payload in ipairs(payloads) do reply[i + 1] = payload end
return reply
