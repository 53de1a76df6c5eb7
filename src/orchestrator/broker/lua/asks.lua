-- Questions to people. An agent asks; the task waits for an answer, for the end of its time, or for the agent to go on by itself.
-- Record: `question`, its name within the task; `expires_at`, 0 once nobody may answer any more; `ask`, the callback that asked.
-- A question stays open while the next attempt comes to ask it again. While the task is `input_required` its `deadline`
-- is expires_at + the rest of its time, and `outstanding` has it at expires_at (see go_on in course.lua).
-- Hash answers:<task>: question → {"answer": …, "deadline": …}, without `answer` where the time was over. Stands behind attempts.lua.

local ASK_TIME, ASK_TIME_MAX = 3600 * SECOND, 7 * 86400 * SECOND

-- The reason why a callback asks nothing, or nil. Names go into hash fields and JSON as they are.
local function fault_of_question(c)
  if not c.has_prompt then return 'missing_prompt' end
  if c.question ~= nil and not (type(c.question) == 'string' and #c.question <= 64 and c.question:match('^[%w_.-]+$')) then
    return 'invalid_question'
  end
  if c.expires_in ~= nil and not (type(c.expires_in) == 'number' and c.expires_in > 0) then return 'invalid_expires_in' end
  return nil
end

local function rfc3339(moment)
  local seconds = math.floor(moment / SECOND)
  local days, rest = math.floor(seconds / 86400), seconds % 86400
  -- Days since 0000-03-01, in eras of 400 years, so that the leap day is a year's last.
  local z = days + 719468
  local era = math.floor(z / 146097)
  local of_era = z - era * 146097
  local year = math.floor((of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524) - math.floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local month = math.floor((5 * of_year + 2) / 153)
  local day = of_year - math.floor((153 * month + 2) / 5) + 1
  local civil = month < 10 and month + 3 or month - 9
  year = year + era * 400 + (civil <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%06dZ', year, civil, day, math.floor(rest / 3600),
    math.floor(rest / 60) % 60, rest % 60, moment % SECOND)
end

-- What became of a question, or false.
local function answer_to(t, task, name)
  return task.answers and task.answers[name] or redis.call('HGET', t.T .. 'answers:' .. task.id, name)
end

local function is_open(task, name) return task.question == name and task.expires_at > now and not ENDED[task.status] end

-- The open question has its answer (JSON), or nil: nobody gave one in time. A task that waits goes on.
local function close_question(t, s, task, answer)
  local name = task.question
  local told = string.format('{"result":{"question":"%s","%s":true}}', name, answer and 'answered' or 'expired')
  if task.status == 'input_required' then
    start_task(t, s, task, told)
  else
    append_update(t, s, task, task.status, told)
  end
  shut_question(task)
  task.answers = task.answers or {}
  task.answers[name] = string.format('{%s"deadline":"%s"}', answer and '"answer":' .. answer .. ',' or '', rfc3339(task.deadline))
  due_at(t, math.min(task.deadline, task.leased_until or task.deadline))
end

-- The agent goes on by itself.
local function withdraw_question(t, s, task, shown)
  if task.expires_at <= now then return close_question(t, s, task, nil) end
  start_task(t, s, task, shown)
  shut_question(task)
  due_at(t, math.min(task.deadline, task.leased_until or task.deadline))
end

local function wait_for_answer(t, s, task, name, expires_at, raw)
  if task.status == 'running' then t.running = t.running - 1 end
  go_on(task) -- where another question was open
  change(task, 'question', name)
  change(task, 'expires_at', expires_at)
  change(task, 'ask', raw)
  change(task, 'status', 'input_required')
  change(task, 'deadline', task.deadline + expires_at - now)
  task.moved, task.leased_until = true, nil
  amend(s, 'keep', math.max(s.keep, task.deadline))
  due_at(t, expires_at)
  append(s, { 0, 0, 'u', task.id, task.attempt, 'input_required', 'asked', expires_at, name }, raw, true)
end

local function take_question(t, s, task, c, raw)
  local name = c.question or '1'
  local settled = answer_to(t, task, name)
  if task.status == 'input_required' and task.question == name then return end -- said twice
  if task.status ~= 'running' and task.status ~= 'input_required' then start_task(t, s, task, '') end
  if settled then return end -- the agent finds it
  local asked_before = task.question == name and task.expires_at > 0
  if asked_before and task.expires_at <= now then return close_question(t, s, task, nil) end
  local time = math.min(ASK_TIME_MAX, c.expires_in and c.expires_in * SECOND or ASK_TIME)
  wait_for_answer(t, s, task, name, asked_before and task.expires_at or math.floor(now + time), raw)
end
