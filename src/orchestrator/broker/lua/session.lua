#!lua flags=no-writes
-- Where a session stands and the ids of its newest tasks.
-- KEYS[1] callback queue   ARGV[1] msgpack {session, user, newest: how many ended ones}
-- result  msgpack {outcome: found | not_found | session_denied, position, tasks: open ones and the newest ended}

local a = cmsgpack.unpack(ARGV[1])
local t = open_tenant(KEYS[1], { seed = '' })
local s = load_session(t, a.session)
if s.fresh then return cmsgpack.pack({ outcome = 'not_found', position = '', tasks = {} }) end
if a.user ~= '' and owner_of(s) ~= '' and s.owner ~= a.user then
  return cmsgpack.pack({ outcome = 'session_denied', position = '', tasks = {} })
end
local tasks, ended = {}, 0
for _, id in ipairs(redis.call('ZREVRANGE', t.T .. 'tasks:' .. a.session, 0, -1)) do
  local status = redis.call('HGET', t.T .. 'task:' .. id, 'status')
  if status and (not ENDED[status] or ended < a.newest) then
    tasks[#tasks + 1] = id
    if ENDED[status] then ended = ended + 1 end
  end
end
return cmsgpack.pack({ outcome = 'found', position = position(s), tasks = tasks })
