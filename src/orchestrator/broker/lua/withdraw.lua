#!lua library=plain flags=allow-oom
-- Takes an attempt of an ended task off its queue, if nobody has it yet, and bars a later push of it.
-- KEYS[1] execution queue   ARGV[1] task   ARGV[2] attempt   ARGV[3] life of the marker, ms
-- result  number of elements removed: 0 or 1
-- The marker holds the element as it was pushed.

redis.call('LLEN', KEYS[1])
local marker = '{' .. KEYS[1] .. '}:t:' .. ARGV[1] .. ':' .. ARGV[2]
local payload = redis.call('GET', marker)
redis.call('SET', marker, 'void', 'PX', ARGV[3])
if not payload or payload == 'void' or payload == 'taken' then return 0 end
return redis.call('LREM', KEYS[1], -1, payload)
