#!lua
-- Admission: owner of the session, first answer of an idempotency key, access, all limits, whose turn it is, and the
-- record, all or nothing. The task is recorded here and pushed by push.lua, whose queue lies in another slot.
-- KEYS[1] callback queue of the tenant
-- ARGV[1] msgpack AdmitRequest (admissions.py): keep…, task, session, user, context, contexts, tier, queue, stream, created,
--         deadline, not_after, fingerprint, idempotency ('' or digest), idempotency_ttl, validate, session_limit,
--         per_minute, burst, max_outstanding, max_bytes, turn_policy?, merged?: the tasks whose messages ARGV[2] has
-- ARGV[2] the task as it will be pushed   ARGV[3] its message as an inbox has it (see turns.lua); only where it was asked for
-- result  msgpack {outcome, position, task, created, queue, detail, s: session limit {limit, left, reset s}, t: tenant's, retry_after s,
--         own: the tenant's own limits, where it has some,
--         held: it waits and must not be pushed, ended, errands: see errands.lua, waiting}; with payloads behind it a list
--         outcome: accepted | replayed | conflict | session_denied | ask | access_denied | tier_mismatch |
--                  rate_limited | queue_full | late | session_busy |
--                  merge: nothing was done, come again with the messages of `waiting`, whose payloads come along |
--                  steer: nothing was done, come again with ARGV[3]
-- include access limits turn_taking

local a = cmsgpack.unpack(ARGV[1])
local t = open_tenant(KEYS[1], a)
local T = t.T

local function reply(outcome, more)
  local r = more or {}
  r.outcome = outcome
  return cmsgpack.pack(r)
end

-- A resend after a broken connection finds what the first sending did.
local before = redis.call('HGET', T .. 'task:' .. a.task, 'before')
if before then
  local first = redis.call('HMGET', T .. 'task:' .. a.task, 'held', 'status')
  return reply('accepted', { position = before, task = a.task, created = a.created, queue = a.queue,
    held = (first[1] or '') ~= '' or ENDED[first[2]] == true })
end
-- A call that a stalled server ran too late: its client has been told that nothing was accepted.
if now > a.not_after then return reply('late') end

local limits = { max_outstanding = a.max_outstanding, per_minute = a.per_minute, burst = a.burst }
local verdict, detail, own, rules
if a.validate then
  verdict, detail, own, rules = judge_access(t, a.tier, a.contexts)
  limits = override(limits, own)
end
local s = load_session(t, a.session)
local foreign = is_foreign(s, a.user)
local policy = a.turn_policy or rules and rules[4] or ''
local turns = policy ~= '' and policy ~= 'parallel' and not foreign and turn_taking()
local plan = turns and turns.plan(t, a.session, policy, a.context) or NO_TURN
local state = measure(t, a, limits, foreign, plan)
-- Before the key, which would tell what was sent here.
if foreign then return reply('session_denied', state.told) end

local first_key = T .. 'idem:' .. a.session .. ':' .. a.idempotency
if a.idempotency ~= '' then
  local first = redis.call('GET', first_key)
  if first then
    first = cmsgpack.unpack(first)
    if first[1] ~= a.fingerprint then return reply('conflict', state.told) end
    state.told.task, state.told.position, state.told.created, state.told.queue = first[2], first[3], first[4], first[5]
    return reply('replayed', state.told)
  end
end

if verdict then
  state.told.detail = detail
  return reply(verdict, state.told)
end
if state.refusal then return reply(state.refusal, state.told) end
if plan.busy then return reply('session_busy', state.told) end
if #plan.stop > STOPS_MAX then
  state.told.detail, state.told.retry_after = 'turns', 1
  return reply('queue_full', state.told)
end
if plan.inbox and not ARGV[3] then return reply('steer') end
if plan.code == 'merged' and not turns.is_joined(plan.stop, a.merged or {}) then
  local waiting = {}
  for i, task in ipairs(plan.stop) do
    waiting[i] = task.id
    t.payloads = t.payloads or {}
    t.payloads[i] = redis.call('HGET', T .. 'task:' .. task.id, 'payload') or ''
  end
  return turns.with_errands(t, { outcome = 'merge', waiting = waiting })
end

if a.user ~= '' then s.owner = a.user end
touch_tenant(t)
redis.call('ZCARD', T .. 'tasks:' .. a.session)
local before = position(s)
local task = { id = a.task, attempt = 1, set = {}, append = {} }
s.keep = math.max(s.keep, a.deadline)
if turns then turns.make_room(t, s, plan, a.task) end
append_update(t, s, task, 'queued', '')
if plan.hold then
  append_told(t, s, task, 'queued', turns.waiting_for)
  s.held, s.recount = s.held + 1, true
end
spend(t, a, limits, state)
redis.call('HSET', T .. 'task:' .. a.task, 'status', 'accepted', 'attempt', 1, 'session', a.session, 'owner', s.owner,
  'context', a.context, 'tier', a.tier, 'queue', a.queue, 'stream', a.stream and '1' or '0', 'deadline', int(a.deadline),
  'accepted_at', int(now), 'created_at', int(a.created), 'before', before, 'seq', -1, 'chunks', 0, 'text_bytes', 0,
  'bytes', #ARGV[2], 'payload', ARGV[2])
redis.call('PEXPIREAT', T .. 'task:' .. a.task, int((a.deadline + a.task_ttl) / 1000))
local until_ms = math.ceil((a.deadline - now + a.task_ttl) / 1000)
if rules and (rules[5] or 0) > 0 then redis.call('HSET', T .. 'task:' .. a.task, 'attempts_max', rules[5]) end
task.deadline = a.deadline
keep_score(t, 'outstanding', a.deadline, task)
if plan.hold then turns.hold(t, plan, task, ARGV[3]) else keep_score(t, 'unpushed', now, task) end
local listed = T .. 'tasks:' .. a.session
redis.call('ZADD', listed, int(now), a.task)
if redis.call('ZCARD', listed) > LISTED_MAX then turn_taking().forget_oldest(t, listed) end
if redis.call('PTTL', listed) < until_ms then redis.call('PEXPIRE', listed, int(until_ms)) end
if a.idempotency ~= '' then
  redis.call('SET', first_key, cmsgpack.pack({ a.fingerprint, a.task, before, a.created, a.queue }), 'PX', int(a.idempotency_ttl / 1000))
end
t.bytes = t.bytes + #ARGV[2]
bump(t, 'tasks|accepted')
bump(t, 'agent|' .. a.context .. '|accepted')
commit(t)
if turns then turns.commit_stops(t) end
publish(t)
state.told.position, state.told.task, state.told.created, state.told.queue = before, a.task, a.created, a.queue
state.told.own = type(own) == 'table' and next(own) and own or nil
state.told.watched = redis.call('EXISTS', T .. 'sockets') == 1
if not t.stopped and not plan.hold then return reply('accepted', state.told) end
state.told.outcome, state.told.held, state.told.ended = 'accepted', plan.hold, t.ended
return turns.with_errands(t, state.told)
