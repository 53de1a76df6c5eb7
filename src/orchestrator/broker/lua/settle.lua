#!lua flags=allow-oom
-- Notes which endings reached a socket, and which of them the client acknowledged.
-- KEYS[1] callback queue
-- ARGV[1] msgpack {session, epoch, delivered: offset, acknowledged: offset}
-- result  number of endings noted

local a = cmsgpack.unpack(ARGV[1])
local T = '{' .. KEYS[1] .. '}:'
local session, acks = T .. 'session:' .. a.session, T .. 'acks:' .. a.session
local h = redis.call('HMGET', session, 'epoch', 'settled')
if h[1] ~= a.epoch then return 0 end
local noted = 0

local function note(from, upto, acknowledged)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', acks, from, int(upto), 'LIMIT', 0, 1000)) do
    local key = T .. 'task:' .. id
    if redis.call('EXISTS', key) == 1 then
      noted = noted + redis.call('HSETNX', key, 'delivered_at', int(now))
      if acknowledged then redis.call('HSETNX', key, 'acknowledged_at', int(now)) end
    end
  end
end

if a.acknowledged > 0 then
  note('-inf', a.acknowledged, true)
  redis.call('ZREMRANGEBYSCORE', acks, '-inf', int(a.acknowledged))
end
-- What was noted as delivered once is not looked at again, though nobody acknowledges it.
local settled = tonumber(h[2] or 0)
if a.delivered > settled then
  note('(' .. int(settled), a.delivered, false)
  redis.call('HSET', session, 'settled', int(a.delivered))
end
return noted
