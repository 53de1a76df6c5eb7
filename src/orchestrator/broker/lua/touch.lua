#!lua flags=allow-oom
-- Keeps the logs of sessions with open sockets, and tells where they stand.
-- KEYS[1] callback queue   ARGV[1] msgpack {keep…, sessions}
-- result  msgpack {{epoch or '', top, mark, open: whether one of the newest tasks has not ended}, …}, in the order asked

local a = cmsgpack.unpack(ARGV[1])
local t = open_tenant(KEYS[1], a)
local tops = {}
local NEWEST = 10

local function is_open(session)
  for _, task in ipairs(redis.call('ZREVRANGE', t.T .. 'tasks:' .. session, 0, NEWEST - 1)) do
    local status = redis.call('HGET', t.T .. 'task:' .. task, 'status')
    if status and not ENDED[status] then return true end
  end
  return false
end

for i, id in ipairs(a.sessions) do
  local h = redis.call('HMGET', t.T .. 'session:' .. id, 'epoch', 'top', 'expires', 'mark')
  tops[i] = { h[1] or '', tonumber(h[2] or 0), tonumber(h[4] or 0), is_open(id) }
  local kept = math.max(a.log_ttl, SOCKET_KEPT)
  if h[1] and tonumber(h[3] or 0) < now + kept * 0.9 then
    local at = int((now + kept) / 1000)
    redis.call('PEXPIREAT', t.T .. 'session:' .. id, at)
    redis.call('PEXPIREAT', t.T .. 'log:' .. id, at)
    redis.call('HSET', t.T .. 'session:' .. id, 'expires', int(now + kept))
  end
end
return cmsgpack.pack(tops)
