#!lua flags=no-writes
-- Where the limits of a send stand, for an answer that never came as far as admission.
-- KEYS[1] callback queue   ARGV[1] msgpack {session, user, session_limit, per_minute, burst, max_outstanding, max_outstanding_bytes}
-- result  msgpack {outcome: 'late', s, t} as of admit.lua

local a = cmsgpack.unpack(ARGV[1])
local t = open_tenant(KEYS[1], { seed = '' })
local _, _, own = judge_access(t, nil, {})
read_rate(t)
local limits = override({ max_outstanding = a.max_outstanding, per_minute = a.per_minute, burst = a.burst }, own)
local state = measure(t, a, limits, is_foreign(load_session(t, a.session), a.user), { stop = {}, freed = 0 }, 0)
return cmsgpack.pack({ outcome = 'late', s = state.told.s, t = state.told.t })
