#!lua flags=allow-oom
-- Voids a tenant's cached access answers; a new generation, so that an answer read before cannot come in after.
-- KEYS[1] callback queue   ARGV[1] life of the generation, s

local T = '{' .. KEYS[1] .. '}:'
local before = tonumber(redis.call('GET', T .. 'generation') or 0)
redis.call('DEL', T .. 'access')
redis.call('SET', T .. 'generation', int(math.max(now, before + 1)), 'EX', ARGV[1])
return 1
