#!lua library=callbacks flags=allow-oom
-- One callback so large that it should not travel: its head and tail say whose ending it is, if it is one.
-- KEYS[1] callback queue   ARGV[1] msgpack {keep…, least: bytes from which on it counts as huge}
-- result  as a queue's of deliver.lua; stop = 'moved' where the tail is another element

local args = cmsgpack.unpack(ARGV[1])
local t = open_tenant(KEYS[1], args)
local raw = redis.call('LINDEX', KEYS[1], -1)
if not raw or #raw < args.least then return { outcome(t, 0, 'moved') } end
touch_tenant(t)
t.whole = #raw
local ends = raw:sub(1, 4096) .. raw:sub(-4096)
local c = { task_id = ends:match('"task_id"%s*:%s*"([^"]*)"'), status = ends:match('"status"%s*:%s*"(%a+)"'),
  attempt = tonumber(ends:match('"attempt"%s*:%s*(%d+)')) }
if c.task_id and ENDINGS[c.status] then
  take(t, ends, c, 'result_too_large')
else
  bury(t, ends, 'too_large')
end
commit(t)
redis.call('LTRIM', KEYS[1], 0, -2) -- an RPOP would hand it over once more
publish(t)
return { outcome(t, 1) }
