#!lua library=dispatch flags=allow-oom
-- A tenant's weight and cap are these, for what waits already too.
-- KEYS[1] {dispatch}:workers   ARGV[1] home   ARGV[2] weight   ARGV[3] cap, 0: none
-- result  1

redis.call('HSET', D .. 'n:' .. ARGV[1], 'w', ARGV[2], 'cap', ARGV[3])
keep('n:' .. ARGV[1])
uncap(ARGV[1])
settle_all()
return 1
