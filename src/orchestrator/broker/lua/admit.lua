#!lua
-- Admission: owner of the session, first answer of an idempotency key, access, all limits, whose turn it is, and the
-- record, all or nothing. Where the queue lies within reach, which it does on one server, the task is pushed in this same
-- step; in a Cluster push.lua does that, in the queue's slot.
-- Several sends of a tenant may come in one call: each is decided in the tables behind those before it, and nothing is
-- written before all are, so an error leaves nothing of any of them.
-- KEYS[1] callback queue of the tenant
-- ARGV[1] msgpack {keep…}   then for each send two:
--         msgpack AdmitRequest (admissions.py): task, session, user?, context, contexts, tier, queue, stream, created,
--         deadline, not_after, planned?, fingerprint?, idempotency?: a digest, idempotency_ttl, validate, session_limit,
--         per_minute, burst, max_outstanding, max_outstanding_bytes, within_reach?: the queue is, turn_policy?, merged?: the tasks
--         whose messages the payload has, inbox?: its message as an inbox has it (see turns.lua), only where it was asked for
--         the task as it will be pushed
-- result  {msgpack {reply, …}, payload of each errand or of each that waits, …}; a reply:
--         {outcome, position, task, created, queue, detail, s: session limit {limit, left, reset s}, t: tenant's, retry_after s,
--         own: the tenant's own limits, where it has some, watched: it has sockets, tended: when tend.lua looked last,
--         pushed: it is on its queue, or was, held: it waits and must not be pushed, ended, errands: see errands.lua, waiting}
--         outcome: accepted | replayed | conflict | session_denied | ask | access_denied | tier_mismatch |
--                  rate_limited | queue_full | late | session_busy |
--                  plan: nothing was done, tend.lua has looked since `planned`: have the tenant on the agenda first |
--                  alone: nothing was done, come again in a call of its own |
--                  merge: nothing was done, come again with the messages of `waiting`, whose payloads come along |
--                  steer: nothing was done, come again with `inbox`

local t, T, several
local accepted, listed, first_keys, turns, judged

local function told(outcome, more)
  local r = more or {}
  r.outcome = outcome
  return r
end

-- The same for every send of this call that names the same.
local function judge(a)
  if not a.validate then return { limits = {} } end
  local asked = a.tier .. ' ' .. table.concat(a.contexts, ' ')
  if not judged[asked] then
    local verdict, detail, own, rules = judge_access(t, a.tier, a.contexts)
    judged[asked] = { verdict = verdict, detail = detail, limits = type(own) == 'table' and own or {}, rules = rules or {} }
  end
  return judged[asked]
end

local function first_answer(a, state)
  if not a.idempotency then return nil end
  local key = T .. 'idem:' .. a.session .. ':' .. a.idempotency
  if first_keys[key] then return told('alone') end
  first_keys[key] = true
  local first = redis.call('GET', key)
  if not first then return nil end
  first = cmsgpack.unpack(first)
  if first[1] ~= a.fingerprint then return told('conflict', state.told) end
  state.told.task, state.told.position, state.told.created, state.told.queue = first[2], first[3], first[4], first[5]
  return told('replayed', state.told)
end

-- Notes in the tables what an accepted send changes; what it touches has been read.
local function accept(a, payload, s, state, plan)
  if a.user then s.owner = a.user end
  if #accepted == 0 then
    touch_tenant(t)
    t.watched = redis.call('EXISTS', T .. 'sockets') == 1
  end
  local list = T .. 'tasks:' .. a.session
  listed[list] = listed[list] or redis.call('ZCARD', list)
  local before = position(s)
  local task = { id = a.task, attempt = 1, deadline = a.deadline, set = {}, append = {} }
  amend(s, 'keep', math.max(s.keep, a.deadline))
  if turns then turns.make_room(t, s, plan, a.task) end
  append_update(t, s, task, 'queued', '')
  if plan.hold then
    append_told(t, s, task, 'queued', turns.waiting_for)
    amend(s, 'held', s.held + 1)
  end
  spend(t, state)
  t.bytes = t.bytes + #payload
  bump(t, 'agent|' .. a.context .. '|accepted')
  accepted[#accepted + 1] = { a = a, payload = payload, task = task, owner = s.owner, before = before, list = list, plan = plan,
    told = state.told }
  state.told.position, state.told.task, state.told.created, state.told.queue = before, a.task, a.created, a.queue
  state.told.watched, state.told.tended = t.watched, t.tended
  return state.told
end

local function decide(a, payload)
  -- A resend after a broken connection finds what the first sending did.
  local before = t.resent and redis.call('HGET', T .. 'task:' .. a.task, 'before')
  if before then
    local first = redis.call('HMGET', T .. 'task:' .. a.task, 'held', 'status')
    return told('accepted', { position = before, task = a.task, created = a.created, queue = a.queue,
      held = (first[1] or '') ~= '' or ENDED[first[2]] == true, pushed = first[2] ~= 'accepted' })
  end
  -- A call that a stalled server ran too late: its client has been told that nothing was accepted.
  if now > a.not_after then return told('late') end
  if a.planned and a.planned ~= t.tended then return told('plan') end

  local access = judge(a)
  local rules = access.rules or {}
  local limits = override({ max_outstanding = a.max_outstanding, per_minute = a.per_minute, burst = a.burst }, access.limits)
  local s = load_session(t, a.session)
  local foreign = is_foreign(s, a.user or '')
  local policy = a.turn_policy or rules[4] or ''
  local plan = NO_TURN
  if policy ~= '' and policy ~= 'parallel' and not foreign then
    if several then return told('alone') end
    turns = TURNS
    plan = turns.plan(t, a.session, policy, a.context)
  end
  local state = measure(t, a, limits, foreign, plan, #payload)
  -- Before the key, which would tell what was sent here.
  if foreign then return told('session_denied', state.told) end
  local first = first_answer(a, state)
  if first then return first end
  if access.verdict then
    state.told.detail = access.detail
    return told(access.verdict, state.told)
  end
  if state.refusal then return told(state.refusal, state.told) end
  if plan.busy then return told('session_busy', state.told) end
  if #plan.stop > STOPS_MAX then
    state.told.detail, state.told.retry_after = 'turns', 1
    return told('queue_full', state.told)
  end
  if plan.inbox and not a.inbox then return told('steer') end
  if plan.code == 'merged' and not turns.is_joined(plan.stop, a.merged or {}) then
    return told('merge', { waiting = turns.waiting(t, plan.stop) })
  end
  local reply = accept(a, payload, s, state, plan)
  accepted[#accepted].attempts_max = rules[5] or 0
  reply.own = next(access.limits) and access.limits or nil
  return told('accepted', reply)
end

-- A list of tasks lives until the last of them is forgotten; GT alone would leave a new one for ever.
local function keep_until(key, deadline)
  local at = math.floor((deadline + t.keep.task_ttl) / 1000)
  if redis.call('PEXPIREAT', key, at, 'GT') == 0 then redis.call('PEXPIREAT', key, at, 'NX') end
end

-- The keys of the tenant that list its tasks: written once, however many were accepted.
local function keep_scores(name, scores, last)
  if #scores == 0 then return end
  redis.call('ZADD', T .. name, unpack(scores))
  keep_until(T .. name, last)
end

local function list_open()
  local deadlines, pushes, last = {}, {}, 0
  for _, one in ipairs(accepted) do
    local id, n = one.a.task, #deadlines
    deadlines[n + 1], deadlines[n + 2] = one.a.deadline, id
    if not one.plan.hold and not one.told.pushed then
      pushes[#pushes + 1] = now
      pushes[#pushes + 1] = id
    end
    last = math.max(last, one.a.deadline)
  end
  keep_scores('outstanding', deadlines, last)
  keep_scores('unpushed', pushes, last)
end

local MARKER_SLACK = 60000 -- ms that a marker outlives the deadline

-- As push.lua does; no marker can be there, since the task is new. It is the first that is written: what is refused, as on a
-- key that is no list, leaves nothing, the task is recorded as not pushed, and push.lua says what is amiss.
local function push(one)
  local a = one.a
  if not a.within_reach or one.plan.hold then return end
  local marker = '{' .. a.queue .. '}:t:' .. a.task .. ':1'
  local life = math.max(0, math.ceil((a.deadline - now) / 1000)) + MARKER_SLACK
  if redis.pcall('SET', marker, one.payload, 'PX', life).err then return end
  one.told.pushed = type(redis.pcall('LPUSH', a.queue, one.payload)) == 'number'
  if not one.told.pushed then redis.call('UNLINK', marker) end
end

local function record(one)
  local a, key = one.a, T .. 'task:' .. one.a.task
  local stage = one.told.pushed and { 'queued', 'queued_at', now } or { 'accepted' }
  redis.call('HSET', key, 'attempt', 1, 'session', a.session, 'owner', one.owner,
    'context', a.context, 'tier', a.tier, 'queue', a.queue, 'stream', a.stream and '1' or '0', 'deadline', a.deadline,
    'accepted_at', now, 'created_at', a.created, 'before', one.before,
    'bytes', #one.payload, 'payload', one.payload, 'status', unpack(stage))
  redis.call('PEXPIREAT', key, math.floor((a.deadline + t.keep.task_ttl) / 1000))
  if one.attempts_max > 0 then redis.call('HSET', key, 'attempts_max', one.attempts_max) end
  if one.plan.hold then turns.hold(t, one.plan, one.task, a.inbox) end
  redis.call('ZADD', one.list, now, a.task)
  listed[one.list] = listed[one.list] + 1
  keep_until(one.list, a.deadline)
  if a.idempotency then
    redis.call('SET', T .. 'idem:' .. a.session .. ':' .. a.idempotency,
      cmsgpack.pack({ a.fingerprint, a.task, one.before, a.created, a.queue }), 'PX', math.floor(a.idempotency_ttl / 1000))
  end
end

-- In each call:
t = open_tenant(KEYS[1], cmsgpack.unpack(ARGV[1]))
T, several = t.T, #ARGV > 3
accepted, listed, first_keys, turns, judged = {}, {}, {}, nil, {}
read_rate(t)
local asked, records, replies = {}, {}, {}
for i = 2, #ARGV, 2 do
  asked[i / 2] = cmsgpack.unpack(ARGV[i])
  records[i / 2] = T .. 'task:' .. asked[i / 2].task
end
t.resent = redis.call('EXISTS', unpack(records)) > 0
for i, a in ipairs(asked) do replies[i] = decide(a, ARGV[2 * i + 1]) end
if #accepted > 0 then
  for _, one in ipairs(accepted) do push(one) end
  for _, one in ipairs(accepted) do record(one) end
  list_open()
  for list, count in pairs(listed) do
    if count > LISTED_MAX then forget_oldest(t, list) end
  end
  commit_limits(t)
  commit(t)
  if turns then turns.commit_stops(t) end
  publish(t)
end
if t.stopped or (turns and accepted[1] and accepted[1].plan.hold) then
  replies[1].held, replies[1].ended, replies[1].errands = accepted[1].plan.hold, t.ended, t.errands
end
local whole = { cmsgpack.pack(replies) }
for i, payload in ipairs(t.payloads or {}) do whole[i + 1] = payload end
return whole
