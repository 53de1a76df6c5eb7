#!lua flags=allow-oom
-- Notes which endings reached a socket, and which of them the client acknowledged.
-- KEYS[1] callback queue
-- ARGV[1] msgpack {session, epoch, delivered: offset, acknowledged: offset}
-- result  1 where there may be more to note, else 0

local a = cmsgpack.unpack(ARGV[1])
local T = '{' .. KEYS[1] .. '}:'
local session, acks = T .. 'session:' .. a.session, T .. 'acks:' .. a.session
local h = redis.call('HMGET', session, 'epoch', 'settled')
if h[1] ~= a.epoch then return 0 end
local most, more = 500, 0 -- in 3 ms

-- The offset up to which all is noted.
local function note(from, upto, acknowledged)
  local found = redis.call('ZRANGEBYSCORE', acks, from, int(upto), 'WITHSCORES', 'LIMIT', 0, most)
  for i = 1, #found, 2 do
    local key = T .. 'task:' .. found[i]
    if redis.call('EXISTS', key) == 1 then
      redis.call('HSETNX', key, 'delivered_at', int(now))
      if acknowledged then redis.call('HSETNX', key, 'acknowledged_at', int(now)) end
    end
  end
  most = most - #found / 2
  if most > 0 then return upto end
  more = 1
  return tonumber(found[#found] or 0)
end

if a.acknowledged > 0 then
  redis.call('ZREMRANGEBYSCORE', acks, '-inf', int(note('-inf', a.acknowledged, true)))
end
-- What was noted as delivered once is not looked at again, though nobody acknowledges it.
local settled = tonumber(h[2] or 0)
if most > 0 and a.delivered > settled then
  redis.call('HSET', session, 'settled', int(note('(' .. int(settled), a.delivered, false)))
end
return more
