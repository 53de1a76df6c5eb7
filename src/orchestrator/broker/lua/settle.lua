#!lua flags=allow-oom
-- Notes which endings reached a socket, and which of them the client acknowledged.
-- KEYS[1] callback queue
-- ARGV[1] msgpack {session, epoch, delivered: offset, acknowledged: offset}
-- result  number of endings noted

local a = cmsgpack.unpack(ARGV[1])
local T = '{' .. KEYS[1] .. '}:'
if redis.call('HGET', T .. 'session:' .. a.session, 'epoch') ~= a.epoch then return 0 end
local acks = T .. 'acks:' .. a.session
local listed = redis.call('ZRANGEBYSCORE', acks, '-inf', int(math.max(a.delivered, a.acknowledged)), 'WITHSCORES', 'LIMIT', 0, 1000)
local noted = 0
for i = 1, #listed, 2 do
  local key, offset = T .. 'task:' .. listed[i], tonumber(listed[i + 1])
  if redis.call('EXISTS', key) == 1 then
    noted = noted + redis.call('HSETNX', key, 'delivered_at', int(now))
    if offset <= a.acknowledged then redis.call('HSETNX', key, 'acknowledged_at', int(now)) end
  end
end
if a.acknowledged > 0 then redis.call('ZREMRANGEBYSCORE', acks, '-inf', int(a.acknowledged)) end
return noted
