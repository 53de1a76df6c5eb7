-- Steps that the scripts of a tenant's slot share.
--
-- Moments are microseconds since 1970 by the server's clock, the only clock that decides anything.
-- A script works in two halves. First it reads: tasks and sessions are loaded into tables, and every
-- key that may be written is touched, so that WRONGTYPE, NOPERM and ASK are raised while nothing has
-- changed. Then `commit` writes the tables back. Lua does not roll back; this leaves nothing to.

local now, now_text

local function moment()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

-- Whole numbers below 2^52 may be handed to Redis as they are; in a text, or beyond, they would get an exponent.
local function int(x) return string.format('%.0f', x) end

local CHUNKS_MAX, TEXT_MAX, ACKS_MAX = 20000, 4 * 1024 * 1024, 1000
local PUBLISH_MAX, LIVE_ENTRY_MAX = 256 * 1024, 64 * 1024
local DEAD_MAX, DEAD_BYTES_MAX, DEAD_ENTRY_MAX, DEAD_KEPT = 1000, 4 * 1024 * 1024, 64 * 1024, 7 * 86400 * 1000000
local SOCKET_KEPT = 120 * 1000000
local PATIENCE = 10 * 1000000 -- after which a record counts as not pushed
local ENDED = { completed = true, failed = true, timeout = true, cancelled = true }

-- keep: how long things are kept (see Keeping in broker.py), with the seed of a new epoch.
local function open_tenant(queue, keep)
  return { queue = queue, T = '{' .. queue .. '}:', keep = keep, tasks = {}, sessions = {}, order = {}, dead = {}, stats = {}, counts = {}, taken = {},
    ended = {}, started = {}, moves = {}, lives = {}, running = 0, bytes = 0 }
end

local function touch_leases(t) t.leases = t.leases or redis.call('ZCARD', t.T .. 'leases') end

-- Every key of the tenant that `commit` may write, read once; a piece of text writes none of them but the leases.
local function touch_tenant(t)
  if t.open then return end
  t.stats_key = t.T .. 'stats:' .. int(math.floor(now / 600000000))
  local open = redis.call('ZCARD', t.T .. 'outstanding')
  redis.call('ZCARD', t.T .. 'unpushed')
  touch_leases(t)
  local letters = redis.call('LLEN', t.T .. 'dead')
  local sums = redis.call('HMGET', t.T .. 'tenant', 'dead_bytes', 'running')
  t.dead_bytes, t.open_running = tonumber(sums[1] or 0), tonumber(sums[2] or 0)
  if letters == 0 then t.dead_bytes = 0 end -- the list ends before the sum does
  t.stats_new = redis.call('HLEN', t.stats_key) == 0
  t.open = open
end

local function count(t, what) t.counts[what] = (t.counts[what] or 0) + 1 end

-- What was read in part and then as a whole: what has been changed meanwhile stands.
local function complete(known, whole)
  for name, value in pairs(whole) do
    if known[name] == nil then known[name] = value end
  end
  return known
end

-- A task as far as a piece of text needs it: most of what is reported is that.
local function glance(t, id)
  local task = t.tasks[id]
  if task then return task end
  local key, text = t.T .. 'task:' .. id, t.T .. 'text:' .. id
  local h = redis.call('HMGET', key, 'status', 'attempt', 'session', 'stream', 'deadline', 'seq', 'chunks', 'text_bytes', 'lease')
  if not h[1] then return nil end
  redis.call('STRLEN', text)
  if h[9] then touch_leases(t) end
  task = { id = id, key = key, text = text, status = h[1], attempt = tonumber(h[2]), session = h[3], stream = h[4], deadline = tonumber(h[5]),
    seq = tonumber(h[6]), chunks = tonumber(h[7]), text_bytes = tonumber(h[8]), lease = h[9] and tonumber(h[9]) }
  t.tasks[id] = task
  return task
end

-- What is needed once in the life of a task or seldom is read where it is: `owner`, `queued_at`, `started_at`, `attempts_max`.
local function load_task(t, id)
  local known = t.tasks[id]
  if known and known.whole then return known end
  local key, text = t.T .. 'task:' .. id, t.T .. 'text:' .. id
  local h = redis.call('HMGET', key, 'status', 'attempt', 'session', 'stream', 'deadline', 'seq', 'chunks', 'text_bytes', 'lease',
    'bytes', 'accepted_at', 'context', 'tier', 'held', 'lost', 'question', 'expires_at')
  if not h[1] then return nil end
  redis.call('STRLEN', text)
  if h[16] then redis.call('HLEN', t.T .. 'answers:' .. id) end
  local task = { id = id, key = key, text = text, status = h[1], attempt = tonumber(h[2]), session = h[3], stream = h[4], deadline = tonumber(h[5]),
    seq = tonumber(h[6]), chunks = tonumber(h[7]), text_bytes = tonumber(h[8]), lease = h[9] and tonumber(h[9]), bytes = h[10] and tonumber(h[10]),
    accepted_at = h[11] and tonumber(h[11]), context = h[12] or '', tier = h[13] or '', held = h[14] or '', lost = h[15], question = h[16],
    expires_at = tonumber(h[17] or 0), whole = true }
  t.tasks[id] = known and complete(known, task) or task
  return t.tasks[id]
end

local function store(task, name, value)
  local set = task.set
  if not set then
    task.set = { name, value }
  else
    local n = #set
    set[n + 1], set[n + 2] = name, value
  end
end

local function change(task, name, value)
  task[name] = value
  store(task, name, value)
end

-- Of a session whose log is gone tasks may be kept: whoever it belonged to, they are still theirs.
local function kept_owner(t, id)
  for _, task in ipairs(redis.call('ZREVRANGE', t.T .. 'tasks:' .. id, 0, 99)) do
    local owner = redis.call('HGET', t.T .. 'task:' .. task, 'owner')
    if owner and owner ~= '' then return owner end
  end
  return ''
end

-- A session whose hash is gone begins a new epoch, and its old list is deleted: no offset is ever reused.
local function begin_session(t, id, key, log)
  return { id = id, key = key, log = log, epoch = t.keep.seed, top = 0, bytes = 0, mark = '0', expires = 0, len = 0, before = 0,
    before_mark = '0', entries = {}, blobs = {}, fresh = true, whole = true, owner = kept_owner(t, id), keep = 0, held = 0 }
end

local function add_session(t, s)
  t.sessions[s.id] = s
  t.order[#t.order + 1] = s
  return s
end

-- A session as far as an event needs it.
local function glance_at_session(t, id)
  if t.sessions[id] then return t.sessions[id] end
  local key, log = t.T .. 'session:' .. id, t.T .. 'log:' .. id
  local h = redis.call('HMGET', key, 'epoch', 'top', 'bytes', 'mark', 'expires')
  local len = redis.call('LLEN', log)
  if not h[1] then return add_session(t, begin_session(t, id, key, log)) end
  local top, mark = tonumber(h[2] or 0), h[4] or '0'
  return add_session(t, { id = id, key = key, log = log, epoch = h[1], top = top, bytes = len > 0 and tonumber(h[3] or 0) or 0, mark = mark,
    expires = tonumber(h[5] or 0), len = len, before = top, before_mark = mark, entries = {}, blobs = {} })
end

local function load_session(t, id)
  local known = t.sessions[id]
  if known and known.whole then return known end
  local key, log = t.T .. 'session:' .. id, t.T .. 'log:' .. id
  local h = redis.call('HMGET', key, 'epoch', 'top', 'bytes', 'mark', 'expires', 'owner', 'keep', 'held')
  local len = redis.call('LLEN', log)
  if not h[1] then return add_session(t, begin_session(t, id, key, log)) end
  local top, mark, owner, keep = tonumber(h[2] or 0), h[4] or '0', h[6] or '', tonumber(h[7] or 0)
  local s = { id = id, key = key, log = log, epoch = h[1], top = top, bytes = len > 0 and tonumber(h[3] or 0) or 0, mark = mark,
    expires = tonumber(h[5] or 0), len = len, before = top, before_mark = mark, entries = {}, blobs = {},
    owner = owner, owner_before = owner, keep = keep, keep_before = keep, held = tonumber(h[8] or 0), whole = true }
  return known and complete(known, s) or add_session(t, s)
end

-- The endings of a session that wait for its reader.
local function touch_acks(t, s)
  if s.acks then return end
  s.acks_before, s.acks = redis.call('ZCARD', t.T .. 'acks:' .. s.id), {}
end

-- The session of a task, as well known as the task is. One that begins anew takes its owner from the task, so that nobody else
-- can claim it.
local function session_of(t, task)
  local s = task.whole and load_session(t, task.session) or glance_at_session(t, task.session)
  if s.fresh then
    if s.owner == '' then s.owner = redis.call('HGET', task.key, 'owner') or '' end
    s.keep = math.max(s.keep, task.deadline)
  end
  return s
end

local function position(s) return s.epoch .. ':' .. s.top .. '-' .. s.mark end

-- An entry: length of the meta (2 bytes), meta {size, at, kind, task, attempt, …}, blob. In the list the
-- blob of a chunk or an ending is left out: the task's text and record hold it.
local function head(meta)
  local packed = cmsgpack.pack(meta)
  return struct.pack('>I2', #packed) .. packed
end

local function frame(meta, blob) return head(meta) .. blob end

local function append(s, meta, blob, stored, rest)
  rest = rest or '' -- of the blob: megabytes are not put together only to be left out
  local size = #blob + #rest
  meta[1], meta[2] = size + 64, now
  local bare, n = head(meta), #s.entries + 1
  s.top, s.mark, s.bytes = s.top + 1, now_text, s.bytes + meta[1]
  s.entries[n] = stored and bare .. blob or bare
  s.blobs[n] = stored and '' or #bare + size <= LIVE_ENTRY_MAX and blob .. rest
end

-- kind u: status, blob = the callback whose `result` is the detail, or ''
local function append_update(t, s, task, status, blob)
  append(s, { 0, 0, 'u', task.id, task.attempt, status }, blob, true)
end

-- kind u with members of its own: blob = what the service tells beside the status, a JSON object
local function append_told(t, s, task, status, blob)
  append(s, { 0, 0, 'u', task.id, task.attempt, status, 'told' }, blob, true)
end

local function bump(t, field, by) t.stats[field] = (t.stats[field] or 0) + (by or 1) end

-- A task that waits for a person (asks.lua) does so no longer: it has the time that it had left.
local function go_on(task)
  if task.status ~= 'input_required' then return end
  change(task, 'deadline', task.deadline - math.max(0, task.expires_at - now))
  task.moved = true
  if task.lease then task.leased_until = now + task.lease end
end

local function shut_question(task)
  if not task.question then return end
  change(task, 'expires_at', 0)
  change(task, 'ask', '')
end

-- An agent has begun with a task, which may take until then, or (0) has it no longer though it has not ended.
local function move(t, task, until_moment) t.moves[#t.moves + 1] = { task.id, task.context, task.tier, until_moment } end

-- A message that waits its turn (turns.lua) does so no longer.
local function unhold(t, s, task)
  redis.call('ZCARD', t.T .. 'held')
  if task.held ~= '1' then redis.call('LLEN', t.T .. 'inbox:' .. task.held) end
  task.unheld = task.held
  change(task, 'held', '')
  s.held, s.recount = math.max(0, s.held - 1), true
end

local function start_task(t, s, task, blob)
  if task.status ~= 'input_required' then move(t, task, task.deadline) end
  if task.held ~= '' then unhold(t, s, task) end -- an agent has it all the same
  go_on(task)
  change(task, 'status', 'running')
  local before = task.started_before or redis.call('HMGET', task.key, 'queued_at', 'started_at')
  if not before[1] then store(task, 'queued_at', now_text) end
  task.started_before = { true, true }
  t.running = t.running + 1
  if not before[2] then
    store(task, 'started_at', now_text)
    t.started[#t.started + 1] = { task.id, now - task.accepted_at }
  end
  append_update(t, s, task, 'running', blob)
end

-- What is told of the end of a message that another task carries on.
local function merged_into(id) return '{"into":"' .. id .. '"}' end

-- kind e: status, code, length of the joined text; blob = joined text .. callback. The record keeps both.
local function end_task(t, s, task, status, code, raw, has_response)
  local joined = ''
  if status == 'completed' and not has_response and task.chunks > 0 then
    joined = redis.call('GET', t.T .. 'text:' .. task.id) or ''
    joined = joined .. table.concat(task.append or {})
  end
  if task.held ~= '' then unhold(t, s, task) end
  if task.status == 'running' then t.running = t.running - 1 end
  go_on(task)
  shut_question(task)
  change(task, 'status', status)
  store(task, 'code', code)
  store(task, 'ended_at', now_text)
  store(task, 'result', raw)
  store(task, 'text', joined)
  task.ended, task.append = true, nil
  append(s, { 0, 0, 'e', task.id, task.attempt, status, code, #joined }, joined, false, raw)
  store(task, 'position', position(s))
  touch_acks(t, s)
  s.acks[#s.acks + 1] = s.top
  s.acks[#s.acks + 1] = task.id
  t.bytes = t.bytes - (task.bytes or 0)
  t.ended[#t.ended + 1] = { task.id, status, now - task.accepted_at, task.session,
    s.held > 0 and code ~= 'suspended', task.context, task.tier }
  bump(t, 'tasks|' .. status)
  bump(t, 'agent|' .. task.context .. '|' .. status)
  bump(t, 'latency|' .. math.floor(4 / math.log(2) * math.log(math.max((now - task.accepted_at) / 1000, 1))))
end

local function bury(t, raw, reason)
  touch_tenant(t)
  count(t, 'dead|' .. reason)
  local whole, digest = t.whole or #raw, '' -- raw may be no more than the ends of it (deliver_huge.lua)
  if #raw > DEAD_ENTRY_MAX then
    digest = t.digest -- Python's: it takes 2 ms a MiB
    raw = raw:sub(1, DEAD_ENTRY_MAX)
  end
  t.dead[#t.dead + 1] = frame({ reason, now, whole, digest }, raw)
end

-- In each call:
now = moment()
now_text = int(now)
