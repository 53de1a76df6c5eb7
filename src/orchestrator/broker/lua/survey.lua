#!lua library=dispatch flags=allow-oom,no-writes
-- What serves some queues.
-- KEYS[1] {dispatch}:workers   ARGV context, tier, context, tier, …
-- result  msgpack {Supply (protocol/waiting.py) of each}

local told = {}
for i = 1, #ARGV, 2 do told[#told + 1] = supply(ARGV[i], ARGV[i + 1]) end
return cmsgpack.pack(told)
