#!lua flags=allow-oom
-- Ends a task as cancelled, at once and for every viewer.
-- KEYS[1] callback queue   ARGV[1] msgpack {keep…, task, user, session: the only one it may be of, or '', code: why, as its viewers are told}
-- result  msgpack {outcome: cancelled | ended | not_found, queue, attempt, left: ms for which the marker has to live, ended}; then the payload to withdraw

local a = cmsgpack.unpack(ARGV[1])
local t = open_tenant(KEYS[1], a)
local task = load_task(t, a.task)
if not task then return { cmsgpack.pack({ outcome = 'not_found', queue = '', attempt = 0, left = 0 }), '' } end
local s = session_of(t, task)
local foreign = a.user ~= '' and s.owner ~= '' and s.owner ~= a.user
if foreign or (a.session ~= '' and a.session ~= task.session) then
  return { cmsgpack.pack({ outcome = 'not_found', queue = '', attempt = 0, left = 0 }), '' }
end
if ENDED[task.status] then return { cmsgpack.pack({ outcome = 'ended', queue = '', attempt = 0, left = 0 }), '' } end
touch_tenant(t)
local cancel_key = t.T .. 'cancel:' .. a.task
redis.call('LLEN', cancel_key)
local more = redis.call('HMGET', t.T .. 'task:' .. a.task, 'queue', 'payload')
end_task(t, s, task, 'cancelled', a.code, '', true)
commit(t)
redis.call('DEL', cancel_key)
redis.call('RPUSH', cancel_key, '1')
redis.call('PEXPIREAT', cancel_key, int((task.deadline + 60000000) / 1000))
publish(t)
return { cmsgpack.pack({ outcome = 'cancelled', queue = more[1], attempt = task.attempt,
  left = math.ceil((task.deadline - now) / 1000) + 60000, ended = t.ended }), more[2] or '' }
