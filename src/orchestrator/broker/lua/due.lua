#!lua library=plain flags=no-writes
-- What is due in parts of the agenda.
-- KEYS    parts of the agenda; in a Cluster all of one slot   ARGV[1] at most so many of each
-- result  for each part {tenant, score, tenant, score, …}

local t = redis.call('TIME')
local now = string.format('%.0f', t[1] * 1000000 + t[2])
local due = {}
for i, part in ipairs(KEYS) do
  due[i] = redis.call('ZRANGEBYSCORE', part, '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[1])
end
return due
