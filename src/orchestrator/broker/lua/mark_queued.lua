#!lua library=plain flags=allow-oom
-- Notes that attempts are on their queues.
-- KEYS[1] callback queue   ARGV task, attempt, task, attempt, …
-- result  number of tasks that were waiting for this

local T = '{' .. KEYS[1] .. '}:'
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000000 + time[2])
local marked = 0
for i = 1, #ARGV, 2 do
  local id = ARGV[i]
  local key = T .. 'task:' .. id
  local h = redis.call('HMGET', key, 'status', 'attempt')
  -- A note that comes late must not speak for the attempt that has begun since.
  if not h[1] or h[2] == ARGV[i + 1] then marked = marked + redis.call('ZREM', T .. 'unpushed', id) end
  if h[1] == 'accepted' then redis.call('HSET', key, 'status', 'queued', 'queued_at', now) end
end
return marked
