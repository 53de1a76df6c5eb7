#!lua flags=allow-oom
-- Ends a task as cancelled, at once and for every viewer.
-- KEYS[1] callback queue   ARGV[1] msgpack {keep…, task, user, session: the only one it may be of, or '', code: why, as its viewers are told}
-- result  {msgpack {outcome: cancelled | ended | not_found, ended, errands: see errands.lua}, '' for each errand, …}

local t

local function reply(outcome) return with_errands(t, { outcome = outcome, ended = t.ended }) end

-- In each call:
local a = cmsgpack.unpack(ARGV[1])
t = open_tenant(KEYS[1], a)
local task = load_task(t, a.task)
if not task then return reply('not_found') end
local s = session_of(t, task)
local foreign = a.user ~= '' and owner_of(s) ~= '' and s.owner ~= a.user
if foreign or (a.session ~= '' and a.session ~= task.session) then return reply('not_found') end
if ENDED[task.status] then return reply('ended') end
touch_tenant(t)
stop_task(t, s, task, a.code)
commit(t)
commit_stops(t)
publish(t)
return reply('cancelled')
