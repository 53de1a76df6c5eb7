#!lua library=plain flags=allow-oom
-- Sets when a tenant is looked at next, unless somebody has set it since.
-- KEYS[1] a part of the agenda   ARGV[1] tenant   ARGV[2] score as it was read   ARGV[3] next look, µs; 0: none
-- result  1 set, 0 changed meanwhile

local seen = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not seen or tonumber(seen) ~= tonumber(ARGV[2]) then return 0 end
if ARGV[3] == '0' then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
end
return 1
