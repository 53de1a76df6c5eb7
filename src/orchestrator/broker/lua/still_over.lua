#!lua library=dispatch flags=allow-oom
-- Whether a lease that overdue.lua told of is over still: its worker may have renewed it since.
-- KEYS[1] {dispatch}:workers   ARGV[1] callback prefix   ARGV[2] task   ARGV[3] when it comes again, as overdue.lua told it
-- result  1 or 0

-- Looking after what was found is looking too, however long it takes.
redis.call('HSET', D .. 'looked:' .. ARGV[1], 'last', now)
keep('looked:' .. ARGV[1])
return tonumber(redis.call('ZSCORE', D .. 'leases:' .. ARGV[1], ARGV[2])) == tonumber(ARGV[3]) and 1 or 0
