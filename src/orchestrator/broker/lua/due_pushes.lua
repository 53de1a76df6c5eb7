#!lua flags=allow-oom
-- Attempts of a tenant that should be on their queues by now.
-- KEYS[1] callback queue
-- result  {msgpack {errands: see errands.lua, next: when the next push is due, or the next task (µs; 0: none)}, payload of each errand, …}

local function head(t, name, later)
  local first = redis.call('ZRANGE', t.T .. name, 0, 0, 'WITHSCORES')
  return first[2] and tonumber(first[2]) + later or math.huge
end

-- In each call:
local t = open_tenant(KEYS[1], {})
list_due_pushes(t)
-- A task that waited for a person may be due sooner now than anybody planned to look.
local next_look = math.min(head(t, 'unpushed', PATIENCE), head(t, 'outstanding', 0))
return with_errands(t, { next = next_look < math.huge and next_look or 0 })
