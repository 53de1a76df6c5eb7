#!lua library=dispatch flags=no-writes
-- How many attempts wait, as far as is known here, for each execution queue.
-- KEYS[1] {dispatch}:workers   ARGV <context>:<tier> of each
-- result  their numbers

local depths = {}
for i, place in ipairs(ARGV) do depths[i] = redis.call('ZCARD', D .. 'e:' .. place) end
return depths
