-- Turns of a session's messages (contract §3). A task is active from its push to its ending; a held one is recorded and waits:
-- `held` of its record is '1', or the active task to whose inbox its message was added. Stands behind errands.lua.

-- STOPS_MAX: so many tasks one message may take the place of: each costs what an ending costs. MERGED_BYTES_MAX: so much
-- of their payloads comes along where it is to be joined with them.
local LISTED_MAX, STOPS_MAX, MERGED_BYTES_MAX = 1000, 100, 1024 * 1024
local NO_TURN = { stop = {}, freed = 0 }
local WAITING_FOR = '{"waiting_for":"an earlier message of this session"}'

local function is_held(task) return (task.held or '') ~= '' end

-- No agent has reported it.
local function is_waiting(task) return task.status == 'accepted' or task.status == 'queued' end

-- The list of a session's tasks keeps the newest, and every one that is open.
local function forget_oldest(t, listed)
  local over = redis.call('ZCARD', listed) - LISTED_MAX
  local oldest = redis.call('ZRANGE', listed, 0, math.min(over, 1000) - 1)
  local deadlines = redis.call('ZMSCORE', t.T .. 'outstanding', unpack(oldest))
  for i, id in ipairs(oldest) do
    if not deadlines[i] then redis.call('ZREM', listed, id) end
  end
end

-- The open tasks of a session by acceptance. One call asks which of its newest tasks are open, so ended ones cost next to nothing.
local function open_tasks(t, session)
  local listed, open = redis.call('ZRANGE', t.T .. 'tasks:' .. session, 0, -1), {}
  for from = 1, #listed, 1000 do
    local ids = { unpack(listed, from, math.min(#listed, from + 999)) }
    local deadlines = redis.call('ZMSCORE', t.T .. 'outstanding', unpack(ids))
    for i, id in ipairs(ids) do
      local task = deadlines[i] and load_task(t, id)
      if task and not ENDED[task.status] then open[#open + 1] = task end
    end
  end
  return open
end

local function handed_over(task, open)
  for _, other in ipairs(open) do
    if other.id == task.held then return not is_waiting(other) end
  end
  return false
end

-- What each policy has done to the open tasks: plan.stop, what ends, as plan.code; plan.hold, whether the new one waits;
-- plan.inbox, whose inbox it goes to; plan.busy, it is refused.
local POLICIES = {
  reject = function(plan, open) plan.busy = #open > 0 end,
  queue = function(plan, open) plan.hold = #open > 0 end,
  interrupt = function(plan, open) plan.stop = open end,
  latest = function(plan, open)
    for _, task in ipairs(open) do
      if is_waiting(task) then plan.stop[#plan.stop + 1] = task else plan.hold = true end
    end
  end,
  -- What was handed to a running agent is left to it: it may have read it.
  merge = function(plan, open, context)
    plan.code = 'merged'
    for _, task in ipairs(open) do
      local joins = is_waiting(task) and task.context == context and not handed_over(task, open)
      if joins then plan.stop[#plan.stop + 1] = task else plan.hold = true end
    end
  end,
  steer = function(plan, open, context)
    for _, task in ipairs(open) do
      if not is_held(task) and task.context == context then plan.inbox, plan.hold = task, true end
    end
  end,
}

-- Reads only; `policy` is one of the contract's, and not `parallel`.
local function plan_turn(t, session, policy, context)
  local plan = { stop = {}, code = 'superseded', hold = false, freed = 0 }
  POLICIES[policy](plan, open_tasks(t, session), context)
  for _, task in ipairs(plan.stop) do plan.freed = plan.freed + (task.bytes or 0) end
  -- Too long together: it waits by itself.
  if plan.code == 'merged' and plan.freed > MERGED_BYTES_MAX then plan.stop, plan.freed, plan.hold = {}, 0, true end
  redis.call('ZCARD', t.T .. 'held')
  if plan.inbox then redis.call('LLEN', t.T .. 'inbox:' .. plan.inbox.id) end
  return plan
end

-- Whether the message of the new task has exactly those that it shall carry on.
local function is_joined(tasks, merged)
  if #tasks ~= #merged then return false end
  for i, task in ipairs(tasks) do
    if task.id ~= merged[i] then return false end
  end
  return true
end

-- The ids of these tasks; their payloads go beside the reply.
local function waiting(t, tasks)
  local ids = {}
  t.payloads = {}
  for i, task in ipairs(tasks) do
    ids[i] = task.id
    t.payloads[i] = redis.call('HGET', t.T .. 'task:' .. task.id, 'payload') or ''
  end
  return ids
end

-- Ends what the new task takes the place of.
local function make_room(t, s, plan, id)
  for _, task in ipairs(plan.stop) do
    stop_task(t, s, task, plan.code, plan.code == 'merged' and merged_into(id) or '')
  end
end

-- The new task waits. line: its message as the inbox has it
local function hold(t, plan, task, line)
  local target = plan.inbox and plan.inbox.id
  redis.call('HSET', t.T .. 'task:' .. task.id, 'status', 'queued', 'queued_at', now, 'held', target or '1')
  keep_score(t, 'held', now + PATIENCE, task)
  if target then
    local inbox = t.T .. 'inbox:' .. target
    redis.call('RPUSH', inbox, line)
    redis.call('PEXPIREAT', inbox, int((plan.inbox.deadline + t.keep.task_ttl) / 1000))
  end
end

-- What admit.lua needs of them.
local TURNS = { plan = plan_turn, is_joined = is_joined, waiting = waiting, make_room = make_room, hold = hold, commit_stops = commit_stops,
  waiting_for = WAITING_FOR }
