#!lua flags=allow-oom
-- Moves a callback that cannot be delivered, whatever is tried, from the tail to the dead letters.
-- KEYS[1] callback queue   ARGV[1] msgpack {keep…, reason}   ARGV[2] the callback
-- result  as a queue's of deliver.lua; stop = 'moved' where the tail is another element
-- include attempts asks callbacks

local args = cmsgpack.unpack(ARGV[1])
local t = open_tenant(KEYS[1], args)
if redis.call('LINDEX', KEYS[1], -1) ~= ARGV[2] then return { outcome(t, 0, 'moved') } end
touch_tenant(t)
bury(t, ARGV[2], args.reason)
commit(t)
redis.call('LTRIM', KEYS[1], 0, -2) -- an RPOP would hand it over once more
return { outcome(t, 1) }
