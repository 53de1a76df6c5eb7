#!lua library=plain
-- Has a tenant looked at by a moment, sooner if that was planned already.
-- KEYS[1] a part of the agenda   ARGV[1] tenant   ARGV[2] look, µs
-- result  the score, which always differs from the one before: whoever looks right now finds by that, when he plans
--         the next look, that something has come since he read it (reschedule.lua)

local seen = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or 'inf')
local look = string.format('%.0f', math.min(tonumber(ARGV[2]), seen - 1))
redis.call('ZADD', KEYS[1], look, ARGV[1])
return look
