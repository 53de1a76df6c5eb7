-- Attempts: a lease that an agent asked for, and the next attempt where one was lost or given up.

local SECOND, BACKOFF_MAX, WAITS_MAX = 1000000, 60000000, 100
local WORKER_LOST = '{"result":{"reason":"worker_lost"}}'

-- Something of the tenant is due then: whoever runs this script has it looked at.
local function due_at(t, moment) if not t.due or moment < t.due then t.due = moment end end

-- An agent that asks for a lease is expected to speak again before it is over; every callback renews it.
local function renew_lease(t, task, asked)
  if asked then
    if not task.lease then due_at(t, now + asked) end
    change(task, 'lease', asked)
  end
  if task.lease then task.leased_until = now + task.lease end
end

-- µs from now; a worker that was lost says nothing against the task, so the second attempt follows at once.
local function back_off(attempt, asked)
  local step = asked and attempt - 1 or attempt - 2
  if step < 0 then return 0 end
  return math.min(BACKOFF_MAX, SECOND * 2 ^ step)
end

-- The attempt is over without an answer: the next one, or the end where there were enough.
-- raw: the callback that asked for another try, or '' where the worker was lost
local function try_again(t, s, task, raw)
  local asked = raw ~= ''
  -- Whoever waits for a person may wait for days: workers that come and go meanwhile say nothing against the task.
  local most = task.attempts_max or tonumber(redis.call('HGET', task.key, 'attempts_max') or t.keep.max_attempts)
  if task.status == 'input_required' and task.attempt < WAITS_MAX then
    most = most + 1
    change(task, 'attempts_max', most)
  end
  if task.attempt >= most then
    return end_task(t, s, task, 'failed', asked and '' or 'too_many_attempts', raw, true)
  end
  if task.status == 'running' then t.running = t.running - 1 end
  move(t, task, 0)
  go_on(task)
  local wait = back_off(task.attempt, asked)
  change(task, 'attempt', task.attempt + 1)
  change(task, 'status', 'retrying')
  task.seq, task.chunks, task.text_bytes, task.pieces = -1, 0, 0, true
  task.append, task.written = nil, nil
  task.forget = { 'first_chunk_at', 'lost', 'lease', 'told_at', 'told_times' }
  for _, name in ipairs(task.forget) do task[name] = nil end
  task.leased_until, task.push_at = nil, now + wait
  due_at(t, task.push_at)
  count(t, asked and 'retried|asked' or 'retried|worker_lost')
  append_update(t, s, task, 'retrying', asked and raw or WORKER_LOST)
end
