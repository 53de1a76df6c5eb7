#!lua library=plain flags=allow-oom
-- Takes one attempt off its queue for a worker, unless somebody else has it.
-- KEYS[1] execution queue   ARGV[1] task   ARGV[2] attempt
-- result  its payload, or nil: taken, withdrawn or replaced before. Whoever removes the element owns the attempt.

local marker = '{' .. KEYS[1] .. '}:t:' .. ARGV[1] .. ':' .. ARGV[2]
local payload = redis.call('GET', marker)
if not payload or payload == 'void' or payload == 'taken' then return false end
if redis.call('LREM', KEYS[1], -1, payload) == 0 then return false end
redis.call('SET', marker, 'taken', 'KEEPTTL')
return payload
