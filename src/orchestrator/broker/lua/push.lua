#!lua
-- Puts one attempt of a task on its queue, once, however often it is called.
-- KEYS[1] execution queue   ARGV[1] task   ARGV[2] attempt   ARGV[3] payload   ARGV[4] life of the marker, ms
-- result  'pushed' | 'already' | 'void' (withdrawn before)
-- The marker beside the queue outlives the deadline: while a repeat is possible, it is known.

local marker = '{' .. KEYS[1] .. '}:t:' .. ARGV[1] .. ':' .. ARGV[2]
local seen = redis.call('GET', marker)
if seen then return seen == 'void' and 'void' or 'already' end
redis.call('LLEN', KEYS[1])
redis.call('SET', marker, 'pushed', 'PX', ARGV[4])
redis.call('LPUSH', KEYS[1], ARGV[3])
return 'pushed'
