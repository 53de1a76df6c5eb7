#!lua flags=allow-oom
-- A tenant's weight and cap are others now, for what waits already too.
-- KEYS[1] {dispatch}:workers   ARGV[1] home   ARGV[2] weight   ARGV[3] cap, 0: none
-- result  1, or 0 where nothing of it is known
-- include dispatch

local key = D .. 'n:' .. ARGV[1]
if redis.call('EXISTS', key) == 0 then return 0 end
redis.call('HSET', key, 'w', ARGV[2], 'cap', ARGV[3])
uncap(ARGV[1])
return 1
