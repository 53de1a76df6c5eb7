#!lua flags=allow-oom
-- Keeps the logs of sessions with open sockets, and tells where they stand; notes how many sockets there are.
-- KEYS    callback queues: of one slot in a Cluster
-- ARGV[1] msgpack {keep…, replica, sockets_ttl s, asked: {{sessions, sockets of the replica (0: not told)}, …} by queue}
-- result  msgpack {{{epoch or '', top, mark, open: whether one of the newest tasks has not ended}, …}, …}, in the order asked

local NEWEST = 10
local kept

local function is_open(t, session)
  for _, task in ipairs(redis.call('ZREVRANGE', t.T .. 'tasks:' .. session, 0, NEWEST - 1)) do
    local status = redis.call('HGET', t.T .. 'task:' .. task, 'status')
    if status and not ENDED[status] then return true end
  end
  return false
end

local function touch(t, id)
  local h = redis.call('HMGET', t.T .. 'session:' .. id, 'epoch', 'top', 'expires', 'mark')
  if h[1] and tonumber(h[3] or 0) < now + kept * 0.9 then
    local at = int((now + kept) / 1000)
    redis.call('PEXPIREAT', t.T .. 'session:' .. id, at)
    redis.call('PEXPIREAT', t.T .. 'log:' .. id, at)
    redis.call('HSET', t.T .. 'session:' .. id, 'expires', int(now + kept))
  end
  return { h[1] or '', tonumber(h[2] or 0), tonumber(h[4] or 0), is_open(t, id) }
end

-- In each call:
local a = cmsgpack.unpack(ARGV[1])
kept = math.max(a.log_ttl, SOCKET_KEPT)
local told = {}
for i, queue in ipairs(KEYS) do
  local t, tops = open_tenant(queue, a), {}
  local sessions, sockets = unpack(a.asked[i])
  for n, id in ipairs(sessions) do tops[n] = touch(t, id) end
  if sockets > 0 then note_sockets(t, a.replica, sockets, a.sockets_ttl) end
  told[i] = tops
end
return cmsgpack.pack(told)
