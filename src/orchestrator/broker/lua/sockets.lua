-- The tenant's sockets by replica: `count:until when it is believed`, since a replica that died tells nothing.

local function note_sockets(t, replica, count, ttl)
  redis.call('HSET', t.T .. 'sockets', replica, int(count) .. ':' .. int(now + ttl * 1000000))
  redis.call('EXPIRE', t.T .. 'sockets', ttl)
end

local function sockets_of_others(t, replica)
  local told, others = redis.call('HGETALL', t.T .. 'sockets'), 0
  for i = 1, #told, 2 do
    local count, believed = told[i + 1]:match('(%d+):(%d+)')
    if told[i] ~= replica and tonumber(believed) > now then others = others + tonumber(count) end
  end
  return others
end
