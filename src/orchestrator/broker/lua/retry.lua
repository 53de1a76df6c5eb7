#!lua flags=allow-oom
-- The worker that had an attempt is gone: the next attempt, or the end where there were enough.
-- KEYS[1] callback queue   ARGV[1] msgpack {keep…, task, attempt: the one that was lost}
-- result  msgpack {outcome: retried | ended (by this, or before) | stale: another attempt is under way | not_found,
--         due: when the next attempt is to be pushed (µs), ended}

local t

local function reply(outcome) return cmsgpack.pack({ outcome = outcome, due = t.due or 0, ended = t.ended or NOTHING, moves = t.moves or NOTHING }) end

-- In each call:
local a = cmsgpack.unpack(ARGV[1])
t = open_tenant(KEYS[1], a)
local task = load_task(t, a.task)
if not task then return reply('not_found') end
if ENDED[task.status] then return reply('ended') end
if task.attempt ~= a.attempt then return reply('stale') end
local s = session_of(t, task)
touch_tenant(t)
try_again(t, s, task, '')
commit(t)
publish(t)
return reply(task.ended and 'ended' or 'retried')
