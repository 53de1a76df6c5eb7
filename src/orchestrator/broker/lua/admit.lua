#!lua
-- Admission: owner of the session, first answer of an idempotency key, access, all limits, and the record,
-- all or nothing. The task is recorded here and pushed by push.lua, whose queue lies in another slot.
-- KEYS[1] callback queue of the tenant
-- ARGV[1] msgpack AdmitRequest (admissions.py): keep…, task, session, user, context, contexts, tier, queue, stream, created,
--         deadline, not_after, fingerprint, idempotency ('' or digest), idempotency_ttl, validate, session_limit,
--         per_minute, burst, max_outstanding, max_bytes
-- ARGV[2] the task as it will be pushed
-- result  msgpack {outcome, position, task, created, queue, detail, s: session limit {limit, left, reset s}, t: tenant's, retry_after s}
--         outcome: accepted | replayed | conflict | session_denied | ask | access_denied | tier_mismatch |
--                  rate_limited | queue_full | late
-- include access limits

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
if before then return reply('accepted', { position = before, task = a.task, created = a.created, queue = a.queue }) end
-- A call that a stalled server ran too late: its client has been told that nothing was accepted.
if now > a.not_after then return reply('late') end

local limits = { max_outstanding = a.max_outstanding, per_minute = a.per_minute, burst = a.burst }
local verdict, detail, own
if a.validate then
  verdict, detail, own = judge_access(t, a.tier, a.contexts)
  limits = override(limits, own)
end
local s = load_session(t, a.session)
local foreign = is_foreign(s, a.user)
local state = measure(t, a, limits, foreign)
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

if a.user ~= '' then s.owner = a.user end
touch_tenant(t)
redis.call('ZCARD', T .. 'tasks:' .. a.session)
local before = position(s)
local task = { id = a.task, attempt = 1, set = {}, append = {} }
s.keep = math.max(s.keep, a.deadline)
append_update(t, s, task, 'queued', '')
spend(t, a, limits, state)
redis.call('HSET', T .. 'task:' .. a.task, 'status', 'accepted', 'attempt', 1, 'session', a.session, 'owner', s.owner,
  'context', a.context, 'tier', a.tier, 'queue', a.queue, 'stream', a.stream and '1' or '0', 'deadline', int(a.deadline),
  'accepted_at', int(now), 'created_at', int(a.created), 'before', before, 'seq', -1, 'chunks', 0, 'text_bytes', 0,
  'bytes', #ARGV[2], 'payload', ARGV[2])
redis.call('PEXPIREAT', T .. 'task:' .. a.task, int((a.deadline + a.task_ttl) / 1000))
local until_ms = math.ceil((a.deadline - now + a.task_ttl) / 1000)
for _, name in ipairs({ 'outstanding', 'unpushed' }) do
  redis.call('ZADD', T .. name, name == 'outstanding' and int(a.deadline) or int(now), a.task)
  if redis.call('PTTL', T .. name) < until_ms then redis.call('PEXPIRE', T .. name, int(until_ms)) end
end
local listed = T .. 'tasks:' .. a.session
redis.call('ZADD', listed, int(now), a.task)
redis.call('ZREMRANGEBYRANK', listed, 0, -1001)
if redis.call('PTTL', listed) < until_ms then redis.call('PEXPIRE', listed, int(until_ms)) end
if a.idempotency ~= '' then
  redis.call('SET', first_key, cmsgpack.pack({ a.fingerprint, a.task, before, a.created, a.queue }), 'PX', int(a.idempotency_ttl / 1000))
end
t.bytes = #ARGV[2]
bump(t, 'tasks|accepted')
bump(t, 'agent|' .. a.context .. '|accepted')
commit(t)
publish(t)
state.told.position, state.told.task, state.told.created, state.told.queue = before, a.task, a.created, a.queue
return reply('accepted', state.told)
