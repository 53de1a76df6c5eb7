#!lua flags=allow-oom
-- Notes that a task's first attempt is on its queue.
-- KEYS[1] callback queue   ARGV task ids
-- result  number of tasks that were waiting for this

local t = open_tenant(KEYS[1], {})
local marked = 0
for _, id in ipairs(ARGV) do
  local key = t.T .. 'task:' .. id
  marked = marked + redis.call('ZREM', t.T .. 'unpushed', id)
  if redis.call('HGET', key, 'status') == 'accepted' then
    redis.call('HSET', key, 'status', 'queued', 'queued_at', int(now))
  end
end
return marked
