#!lua
-- Puts one attempt of a task on its queue, once, however often it is called, and ends an earlier attempt.
-- KEYS[1] execution queue   ARGV[1] task   ARGV[2] attempt   ARGV[3] payload   ARGV[4] life of the marker, ms
-- ARGV[5] left, or right: it is taken next   ARGV[6] earlier attempt that must not be taken any more, 0: none
-- result  'pushed' | 'already' | 'void' (withdrawn before)
-- The marker beside the queue outlives the deadline: while a repeat is possible, it is known. It is the payload, by which
-- take.lua finds the element; then 'taken', or 'void' where nobody may have it.

local function marker(attempt) return '{' .. KEYS[1] .. '}:t:' .. ARGV[1] .. ':' .. attempt end

redis.call('LLEN', KEYS[1])
if ARGV[6] ~= '0' then
  local earlier = redis.call('GET', marker(ARGV[6]))
  redis.call('SET', marker(ARGV[6]), 'void', 'PX', ARGV[4])
  if earlier then redis.call('LREM', KEYS[1], -1, earlier) end
end
local seen = redis.call('GET', marker(ARGV[2]))
if seen then return seen == 'void' and 'void' or 'already' end
redis.call('SET', marker(ARGV[2]), ARGV[3], 'PX', ARGV[4])
redis.call(ARGV[5] == 'right' and 'RPUSH' or 'LPUSH', KEYS[1], ARGV[3])
return 'pushed'
