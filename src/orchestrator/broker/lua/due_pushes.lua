#!lua flags=allow-oom
-- Attempts of a tenant that should be on their queues by now.
-- KEYS[1] callback queue
-- result  {msgpack {errands: see errands.lua, next: when the next push is due (µs; 0: none)}, payload of each errand, …}
-- include errands

local t = open_tenant(KEYS[1], {})
list_due_pushes(t)
local head = redis.call('ZRANGE', t.T .. 'unpushed', 0, 0, 'WITHSCORES')
return with_errands(t, { next = head[2] and tonumber(head[2]) + PATIENCE or 0 })
