-- What Python has to do on the queues of agents, which lie in other slots: pushes that are due, and withdrawals.
-- An errand: {task, attempt, queue, life of the marker ms, withdraw?, deadline µs}. The payload of a push goes beside it,
-- as it was for the first attempt.

local TAKEN = { running = true, input_required = true }

local function errand(t, task, withdraw)
  local h = redis.call('HMGET', t.T .. 'task:' .. task.id, 'queue', 'payload')
  if (h[2] or '') == '' then return end
  t.errands, t.payloads = t.errands or {}, t.payloads or {}
  local life = math.max(0, math.ceil((task.deadline - now) / 1000)) + 60000
  t.errands[#t.errands + 1] = { task.id, task.attempt, h[1], life, withdraw, task.deadline }
  t.payloads[#t.payloads + 1] = withdraw and '' or h[2]
end

-- Ends a task because somebody wants it so; whoever has it learns that by its cancel key, which `commit_stops` sets.
-- raw: what else there is to tell of it, as a callback would, or ''
local function stop_task(t, s, task, code, raw)
  redis.call('LLEN', t.T .. 'cancel:' .. task.id)
  if not TAKEN[task.status] and (task.held or '') == '' then errand(t, task, true) end
  end_task(t, s, task, 'cancelled', code, raw or '', true)
  t.stopped = t.stopped or {}
  t.stopped[#t.stopped + 1] = task
end

local function commit_stops(t)
  for _, task in ipairs(t.stopped or {}) do
    local key = t.T .. 'cancel:' .. task.id
    redis.call('DEL', key)
    redis.call('RPUSH', key, '1')
    redis.call('PEXPIREAT', key, int((task.deadline + 60000000) / 1000))
  end
end

-- Lists what should be on its queue by now. It stays on the list until mark_queued.lua takes it off, and is listed
-- again after a while: push.lua knows what it has pushed.
local function list_due_pushes(t)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', t.T .. 'unpushed', '-inf', int(now - PATIENCE), 'LIMIT', 0, 100)) do
    local readable, task = pcall(load_task, t, id)
    if not readable then
      redis.call('ZADD', t.T .. 'unpushed', now, id)
    elseif not task or ENDED[task.status] then
      redis.call('ZREM', t.T .. 'unpushed', id)
    else
      redis.call('ZADD', t.T .. 'unpushed', now, id)
      errand(t, task, false)
    end
  end
end

-- reply: what the script tells; behind it the payloads of its errands
local function with_errands(t, reply)
  reply.errands = t.errands or {}
  local whole = { cmsgpack.pack(reply) }
  for i, payload in ipairs(t.payloads or {}) do whole[i + 1] = payload end
  return whole
end
