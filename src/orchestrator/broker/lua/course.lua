-- What happens to a task from its first report to its end, whoever reports it; and what is no report at all.

-- A task that waits for a person (asks.lua) does so no longer: it has the time that it had left.
local function go_on(task)
  if task.status ~= 'input_required' then return end
  change(task, 'deadline', task.deadline - math.max(0, task.expires_at - now))
  task.moved = true
  if task.lease then task.leased_until = now + task.lease end
end

local function shut_question(task)
  if not task.question then return end
  change(task, 'expires_at', 0)
  change(task, 'ask', '')
end

-- An agent has begun with a task, which may take until then, or (0) has it no longer though it has not ended.
local function move(t, task, until_moment) t.moves[#t.moves + 1] = { task.id, task.context, task.tier, until_moment } end

-- A message that waits its turn (turns.lua) does so no longer.
local function unhold(t, s, task)
  redis.call('ZCARD', t.T .. 'held')
  if task.held ~= '1' then redis.call('LLEN', t.T .. 'inbox:' .. task.held) end
  task.unheld = task.held
  change(task, 'held', '')
  amend(s, 'held', math.max(0, s.held - 1))
end

local function start_task(t, s, task, blob)
  if task.status ~= 'input_required' then move(t, task, task.deadline) end
  if task.held ~= '' then unhold(t, s, task) end -- an agent has it all the same
  go_on(task)
  change(task, 'status', 'running')
  local before = task.started_before or redis.call('HMGET', task.key, 'queued_at', 'started_at')
  if not before[1] then store(task, 'queued_at', now_text) end
  task.started_before = { true, true }
  t.running = t.running + 1
  if not before[2] then
    store(task, 'started_at', now_text)
    t.started[#t.started + 1] = { task.id, now - task.accepted_at }
  end
  append_update(t, s, task, 'running', blob)
end

-- What is told of the end of a message that another task carries on.
local function merged_into(id) return '{"into":"' .. id .. '"}' end

-- kind e: status, code, length of the joined text; blob = joined text .. callback. The record keeps both.
local function end_task(t, s, task, status, code, raw, has_response)
  local joined = ''
  if status == 'completed' and not has_response and task.chunks > 0 then
    local written = task.written or 0
    joined = (written > 0 and redis.call('GETRANGE', task.text, 0, written - 1) or '') .. table.concat(task.append or {})
  end
  if task.held ~= '' then unhold(t, s, task) end
  if task.status == 'running' then t.running = t.running - 1 end
  go_on(task)
  shut_question(task)
  task.status, task.ended, task.append = status, true, nil
  append(s, { 0, 0, 'e', task.id, task.attempt, status, code, #joined }, joined, false, raw)
  store_all(task, { 'status', status, 'ended_at', now_text, 'result', raw, 'position', position(s), 'payload', '' })
  if code ~= '' then store(task, 'code', code) end
  if joined ~= '' then store(task, 'text', joined) end
  local endings = s.endings
  if not endings then s.endings = { 'state', '', task.id, s.top } else add_pair(endings, task.id, s.top) end
  s.waiting = s.waiting + 1
  t.bytes = t.bytes - (task.bytes or 0)
  t.ended[#t.ended + 1] = { task.id, status, now - task.accepted_at, task.session,
    s.held > 0 and code ~= 'suspended', task.context, task.tier }
  bump(t, 'agent|' .. task.context .. '|' .. status)
  bump(t, 'latency|' .. math.floor(STEPS * math.log(math.max((now - task.accepted_at) / 1000, 1))))
end

local function bury(t, raw, reason)
  touch_dead(t)
  count(t, 'dead|' .. reason)
  local whole, digest = t.whole or #raw, '' -- raw may be no more than the ends of it (deliver_huge.lua)
  if #raw > DEAD_ENTRY_MAX then
    digest = t.digest -- Python's: it takes 2 ms a MiB
    raw = raw:sub(1, DEAD_ENTRY_MAX)
  end
  t.dead[#t.dead + 1] = frame({ reason, now, whole, digest }, raw)
end
