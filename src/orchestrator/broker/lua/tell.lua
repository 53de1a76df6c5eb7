#!lua flags=allow-oom
-- Tells the viewers of tasks that wait why they do, where that is something new.
-- KEYS[1] callback queue
-- ARGV[1] msgpack {keep…, tells: {{task, attempt, members of a task_update as JSON, whether they say anything}, …}}
-- result  number of events
-- Whether a task still waits is decided here: what an agent reported meanwhile goes before.

local t, events

local function tell(id, attempt, told, says)
  local task = load_task(t, id)
  if not task or not WAITS[task.status] or task.attempt ~= attempt or (task.held or '') ~= '' then return end
  local h, s = redis.call('HMGET', t.T .. 'task:' .. id, 'told', 'told_times'), session_of(t, task)
  change(task, 'told_at', now)
  change(task, 'told_times', int((h[2] or 0) + 1))
  local known = attempt .. ' ' .. told
  -- Who has never been told anything is not told that there is nothing to tell.
  if h[1] == known or not (h[1] or says) then return end
  change(task, 'told', known)
  append_told(t, s, task, task.status == 'accepted' and 'queued' or task.status, told)
  events = events + 1
end

-- In each call:
local a = cmsgpack.unpack(ARGV[1])
t, events = open_tenant(KEYS[1], a), 0
touch_tenant(t)
-- One that cannot be read keeps no other from being told.
for _, entry in ipairs(a.tells) do pcall(tell, unpack(entry)) end
commit(t)
publish(t)
return events
