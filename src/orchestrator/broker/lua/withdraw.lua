#!lua flags=allow-oom
-- Takes an attempt of an ended task off its queue, if nobody has it yet, and bars a later push of it.
-- KEYS[1] execution queue   ARGV[1] task   ARGV[2] attempt   ARGV[3] payload   ARGV[4] life of the marker, ms
-- result  number of elements removed: 0 or 1

redis.call('LLEN', KEYS[1])
redis.call('SET', '{' .. KEYS[1] .. '}:t:' .. ARGV[1] .. ':' .. ARGV[2], 'void', 'PX', ARGV[4])
return redis.call('LREM', KEYS[1], -1, ARGV[3])
