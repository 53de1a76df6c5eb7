#!lua library=plain flags=allow-oom
-- Tells every replica of a change, in an order that no step of the clock can turn back.
-- KEYS[1] the feed   ARGV[1] what changed   ARGV[2] kept for, s   ARGV[3] most of them
-- result  its score, µs: later than every earlier one

local t = redis.call('TIME')
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
local at = math.max(t[1] * 1000000 + t[2], (tonumber(last) or 0) + 1)
local score = string.format('%.0f', at)
redis.call('ZADD', KEYS[1], score, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', at - ARGV[2] * 1000000))
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -ARGV[3] - 1)
redis.call('EXPIRE', KEYS[1], ARGV[2])
return score
