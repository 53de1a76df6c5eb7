#!lua library=callbacks flags=allow-oom
-- Moves a callback that cannot be delivered, whatever is tried, from the tail to the dead letters.
-- KEYS[1] callback queue   ARGV[1] msgpack {keep…, reason, size, digest, places}   ARGV[2…] pieces: as of deliver_big.lua
-- result  as a queue's of deliver.lua; stop = 'moved' where the tail is another element

local args = cmsgpack.unpack(ARGV[1])
local t = open_tenant(KEYS[1], args)
local raw = seen_at_tail(t, args)
if not raw then return { outcome(t, 0, 'moved') } end
touch_tenant(t)
bury(t, raw, args.reason)
commit(t)
redis.call('LTRIM', KEYS[1], 0, -2) -- an RPOP would hand it over once more
return { outcome(t, 1) }
