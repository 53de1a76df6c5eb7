#!lua library=dispatch flags=no-writes
-- The tenants of a deployment of which something came here within a day.
-- KEYS[1] {dispatch}:workers   ARGV[1] callback prefix
-- result  their homes

return redis.call('ZRANGE', D .. 'homes:' .. ARGV[1], 0, -1)
