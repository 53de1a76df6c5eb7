#!lua library=plain flags=no-writes
-- The record of a task, for whoever may see it; for anybody else it takes as long as for a task that does not exist.
-- KEYS[1] callback queue   ARGV[1] task   ARGV[2] user, or ''   ARGV[3] the only session it may be of, or ''
-- result  the fields and values of the record; none where there is nothing to see

local T = '{' .. KEYS[1] .. '}:'
local key = T .. 'task:' .. ARGV[1]
local told = redis.call('HMGET', key, 'status', 'session', 'owner')
-- Of the session nothing may be kept any more: then the task itself says whose it is.
local owner = redis.call('HGET', T .. 'session:' .. (told[2] or ''), 'owner') or ''
if owner == '' then owner = told[3] or '' end
local foreign = ARGV[2] ~= '' and owner ~= '' and owner ~= ARGV[2]
if not told[1] or foreign or (ARGV[3] ~= '' and ARGV[3] ~= told[2]) then return {} end
return redis.call('HGETALL', key)
