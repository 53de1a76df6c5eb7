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
  local key = t.T .. 'session:' .. id
  local state = redis.call('HGET', key, 'state')
  if not state then return { '', 0, 0, is_open(t, id) } end
  local s = session_of_state(state)
  if s.expires < now + kept * 0.9 then
    local at = math.floor((now + kept) / 1000)
    redis.call('PEXPIREAT', key, at)
    redis.call('PEXPIREAT', t.T .. 'log:' .. id, at)
    amend(s, 'expires', math.floor(now + kept))
    redis.call('HSET', key, 'state', packed_state(s))
  end
  return { s.epoch, s.top, s.mark, is_open(t, id) }
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
