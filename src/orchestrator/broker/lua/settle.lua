#!lua flags=allow-oom
-- Notes which endings reached a socket, and which of them the client acknowledged.
-- KEYS[1] callback queue
-- ARGV[1] msgpack {settled: {{session, epoch, delivered: offset, acknowledged: offset}, …}}
-- result  how many of them are noted whole; the next one has more to note than a call takes

local T, most

-- The offset up to which all is noted.
local function note(acks, from, upto, acknowledged)
  local found = redis.call('ZRANGEBYSCORE', acks, from, int(upto), 'WITHSCORES', 'LIMIT', 0, most)
  for i = 1, #found, 2 do
    local key = T .. 'task:' .. found[i]
    if redis.call('EXISTS', key) == 1 then
      redis.call('HSETNX', key, 'delivered_at', int(now))
      if acknowledged then redis.call('HSETNX', key, 'acknowledged_at', int(now)) end
    end
  end
  most = most - #found / 2
  return most > 0 and upto or tonumber(found[#found] or 0)
end

local function settle(id, epoch, delivered, acknowledged)
  local session, acks = T .. 'session:' .. id, T .. 'acks:' .. id
  local h = redis.call('HMGET', session, 'state', 'settled')
  if not h[1] or session_of_state(h[1]).epoch ~= epoch then return end
  if acknowledged > 0 then
    redis.call('ZREMRANGEBYSCORE', acks, '-inf', int(note(acks, '-inf', acknowledged, true)))
  end
  -- What was noted as delivered once is not looked at again, though nobody acknowledges it.
  local settled = tonumber(h[2] or 0)
  if most > 0 and delivered > settled then
    redis.call('HSET', session, 'settled', int(note(acks, '(' .. int(settled), delivered, false)))
  end
end

-- In each call:
local a = cmsgpack.unpack(ARGV[1])
T = '{' .. KEYS[1] .. '}:'
most = 500 -- in 3 ms
for i, one in ipairs(a.settled) do
  settle(unpack(one))
  if most <= 0 then return i - 1 end
end
return #a.settled
