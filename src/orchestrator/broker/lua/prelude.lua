-- Steps that the scripts of a tenant's slot share.
--
-- Moments are microseconds since 1970 by the server's clock, the only clock that decides anything.
-- A script works in two halves. First it reads: tasks and sessions are loaded into tables, and every
-- key that may be written is touched, so that WRONGTYPE, NOPERM and ASK are raised while nothing has
-- changed. Then `commit` writes the tables back. Lua does not roll back; this leaves nothing to.

local now, now_text

-- As a number, and as text.
local function moment()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2], t[1] .. ('000000'):sub(#t[2] + 1) .. t[2]
end

-- Whole numbers below 2^52 may be handed to Redis as they are; in a text, or beyond, they would get an exponent. It costs as much as
-- half a command.
local function int(x) return string.format('%.0f', x) end

local CHUNKS_MAX, TEXT_MAX, WAITING_KEPT, WAITING_MAX = 20000, 4 * 1024 * 1024, 1000, 1500
local PUBLISH_MAX, LIVE_ENTRY_MAX = 256 * 1024, 64 * 1024
local DEAD_MAX, DEAD_BYTES_MAX, DEAD_ENTRY_MAX, DEAD_KEPT = 1000, 4 * 1024 * 1024, 64 * 1024, 7 * 86400 * 1000000
local SOCKET_KEPT = 120 * 1000000
local STEPS = 4 / 0.6931471805599453 -- of latencies: four to a doubling
local PATIENCE = 10 * 1000000 -- after which a record counts as not pushed
local ENDED = { completed = true, failed = true, timeout = true, cancelled = true }

-- keep: how long things are kept (see Keeping in broker.py), with the seed of a new epoch.
local function open_tenant(queue, keep)
  return { queue = queue, T = '{' .. queue .. '}:', keep = keep, tasks = {}, sessions = {}, order = {}, counts = {}, running = 0, bytes = 0 }
end

local function touch_leases(t)
  if t.lives then return end
  redis.call('ZCARD', t.T .. 'leases')
  t.lives = {}
end

-- Every key of the tenant that `commit` may write but the dead letters, read once; a piece of text writes none of them but the leases.
local function touch_tenant(t)
  if t.open then return end
  t.stats_key = t.T .. 'stats:' .. math.floor(now / 600000000)
  local open = redis.call('ZCARD', t.T .. 'outstanding')
  t.unpushed = redis.call('ZCARD', t.T .. 'unpushed')
  touch_leases(t)
  local sums = redis.call('HMGET', t.T .. 'tenant', 'running', 'bytes')
  t.open_running, t.open_bytes = tonumber(sums[1] or 0), tonumber(sums[2] or 0)
  t.stats_new = redis.call('HLEN', t.stats_key) == 0
  t.sums_new = t.stats_new or not (sums[1] or sums[2]) -- so often their end is put off
  t.stats, t.ended, t.started, t.moves = {}, {}, {}, {}
  t.open = open
end

local function touch_dead(t)
  touch_tenant(t)
  if t.dead then return end
  local letters, bytes = redis.call('LLEN', t.T .. 'dead'), redis.call('HGET', t.T .. 'tenant', 'dead_bytes')
  t.dead, t.dead_bytes = {}, letters > 0 and tonumber(bytes or 0) or 0 -- the list ends before the sum does
end

local function count(t, what) t.counts[what] = (t.counts[what] or 0) + 1 end

-- From the first report on, what a piece of text needs of its task is `run`, packed, which stands behind the task's text in the same
-- key: a piece reads the end of it, and writes its text and the next `run` over that. First in it is what each piece changes: seq + 1,
-- chunks, text_bytes. Then `rest`: whether a piece needs no more (the task runs, and none of `held`, `lost`, `question` is set), stream,
-- attempt, lease or 0, deadline, session; for whatever else is reported accepted_at, bytes, tier, context; and the length of `run`.

local RUN_USUAL = 256 -- bytes; with long names it is read once more

-- `run` of a task, behind so many other bytes; or nil.
local function read_run(text)
  local tail = redis.call('GETRANGE', text, -RUN_USUAL, -1)
  if tail == '' then return nil end
  local high, low = tail:byte(-2, -1)
  local size = high * 256 + low
  if size > #tail then tail = redis.call('GETRANGE', text, -size, -1) end
  return tail, #tail - size
end

-- What is missing of a task at which there was only a glance.
local function complete(task)
  local accepted_at, bytes, tier, context = struct.unpack('>I8I8I2c0I2c0', task.rest, 25 + #task.session)
  task.accepted_at, task.bytes, task.tier, task.context, task.held = accepted_at, bytes, tier, context, ''
  return task
end

local function packed_rest(task)
  local plain = task.status == 'running' and task.held == '' and not (task.lost or task.question)
  local rest = struct.pack('>BBI4I8I8I2c0I8I8I2c0I2c0', plain and 1 or 0, task.stream and 1 or 0, task.attempt, task.lease or 0, task.deadline, #task.session, task.session,
    task.accepted_at or 0, task.bytes or 0, #task.tier, task.tier, #task.context, task.context)
  return rest .. struct.pack('>I2', 16 + #rest + 2)
end

local function record_key(t, id) return t.T .. 'task:' .. id end

-- What is needed once in the life of a task or seldom is read where it is: `owner`, `queued_at`, `started_at`, `attempts_max`.
local function task_of_record(t, id, text, seq, chunks, text_bytes)
  local key = record_key(t, id)
  local h = redis.call('HMGET', key, 'status', 'attempt', 'session', 'stream', 'deadline', 'lease', 'bytes', 'accepted_at', 'context', 'tier',
    'held', 'lost', 'question', 'expires_at')
  if not h[1] then return nil end
  return { id = id, key = key, text = text, status = h[1], attempt = tonumber(h[2]), session = h[3], stream = h[4] == '1',
    deadline = tonumber(h[5]), seq = seq or -1, chunks = chunks or 0, text_bytes = text_bytes or 0, written = text_bytes, lease = h[6] and tonumber(h[6]), bytes = h[7] and tonumber(h[7]),
    accepted_at = h[8] and tonumber(h[8]), context = h[9] or '', tier = h[10] or '', held = h[11] or '', lost = h[12], question = h[13],
    expires_at = tonumber(h[14] or 0) }
end

local function read_task(t, id)
  local text = t.T .. 'text:' .. id
  local tail, before = read_run(text)
  if not tail then return task_of_record(t, id, text) end
  local next_seq, chunks, text_bytes, plain, stream, attempt, lease, deadline, session =
    struct.unpack('>I8I4I4BBI4I8I8I2c0', tail, before + 1)
  if plain == 0 then return task_of_record(t, id, text, next_seq - 1, chunks, text_bytes) end
  return { id = id, text = text, status = 'running', seq = next_seq - 1, chunks = chunks, text_bytes = text_bytes, written = text_bytes,
    stream = stream == 1, attempt = attempt, lease = lease > 0 and lease or nil, deadline = deadline, session = session,
    rest = tail:sub(before + 17) }
end

-- A task as far as a piece of text needs it: most of what is reported is that. `written`: bytes of its text in front of `run`, nil where
-- there is none; `key`: its record, once that has been read.
local function glance(t, id)
  local known = t.tasks[id]
  if known then return known end
  local task = read_task(t, id)
  if not task then return nil end
  if task.question then redis.call('HLEN', t.T .. 'answers:' .. id) end
  if task.lease then touch_leases(t) end
  t.tasks[id] = task
  return task
end

-- Whether it has a record, which may be written from now on.
local function touch_record(t, task)
  if task.key then return true end
  local key = record_key(t, task.id)
  if redis.call('HEXISTS', key, 'status') == 0 then return false end
  task.key = key
  return true
end

local function load_task(t, id)
  local task = glance(t, id)
  if not task or task.held then return task end
  return touch_record(t, task) and complete(task) or nil
end

local function add_pair(list, name, value)
  local n = #list
  list[n + 1] = name
  list[n + 2] = value
end

local function store(task, name, value)
  if not task.set then task.set = { name, value } else add_pair(task.set, name, value) end
end

local function store_all(task, told)
  if not task.set then task.set = told return end
  for i = 1, #told, 2 do add_pair(task.set, told[i], told[i + 1]) end
end

-- As `store`, of something that `run` may tell of.
local function change(task, name, value)
  if not task.held then complete(task) end
  task[name], task.rest = value, nil
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
  return { id = id, key = key, log = log, len = 0, epoch = t.keep.seed, top = 0, bytes = 0, mark = 0, waiting = 0, expires = 0,
    keep = 0, held = 0, fresh = true, owner = kept_owner(t, id) }
end

-- Where the log of a session stands is one field, `state`: top, bytes, mark, how many endings wait for their reader; expires, keep,
-- held, epoch. `s.mark` stays that of the newest entry before this call; what is appended bears `now`.

local function packed_state(s)
  if not s.rest then s.rest = struct.pack('>I8I8I4I2c0', s.expires, s.keep, s.held, #s.epoch, s.epoch) end
  return struct.pack('>I8i8I8I4', s.top, s.bytes, s.entries and now or s.mark, s.waiting) .. s.rest
end

local function session_of_state(state, id, key, log, len)
  local top, bytes, mark, waiting, expires, keep, held, epoch = struct.unpack('>I8i8I8I4I8I8I4I2c0', state)
  return { id = id, key = key, log = log, len = len, epoch = epoch, top = top, bytes = len == 0 and 0 or bytes, mark = mark,
    waiting = waiting, expires = expires, keep = keep, held = held, rest = state:sub(29) }
end

local function load_session(t, id)
  local s = t.sessions[id]
  if s then return s end
  local key, log = t.T .. 'session:' .. id, t.T .. 'log:' .. id
  local state, len = redis.call('HGET', key, 'state'), redis.call('LLEN', log)
  s = state and session_of_state(state, id, key, log, len) or begin_session(t, id, key, log)
  t.sessions[id] = s
  t.order[#t.order + 1] = s
  return s
end

local function amend(s, name, value)
  if s[name] ~= value then s[name], s.rest = value, nil end
end

-- Events do not need it, whoever comes does.
local function owner_of(s)
  if not s.owner then
    s.owner = redis.call('HGET', s.key, 'owner') or ''
    s.owner_before = s.owner
  end
  return s.owner
end

-- The endings that wait for their reader are fields of the session: task -> offset. Given are `state`, `settled` and {{offset, task}, …},
-- the first ending first.
local function read_endings(key)
  local h, fields, endings = redis.call('HGETALL', key), {}, {}
  for i = 1, #h, 2 do
    if h[i]:find('^task%-') then endings[#endings + 1] = { tonumber(h[i + 1]), h[i] } else fields[h[i]] = h[i + 1] end
  end
  table.sort(endings, function(a, b) return a[1] < b[1] end)
  return fields.state, tonumber(fields.settled or 0), endings
end

-- One that begins anew takes its owner from the task, so that nobody else can claim it.
local function session_of(t, task)
  local s = load_session(t, task.session)
  if s.fresh then
    if s.owner == '' then s.owner = redis.call('HGET', record_key(t, task.id), 'owner') or '' end
    amend(s, 'keep', math.max(s.keep, task.deadline))
  end
  return s
end

local function position(s) return s.epoch .. ':' .. s.top .. '-' .. (s.entries and now_text or int(s.mark)) end

-- An entry: length of the meta (2 bytes), meta {size, at, kind, task, attempt, …}, blob. In the list the
-- blob of a chunk or an ending is left out: the task's text and record hold it.
local function head(meta)
  local packed = cmsgpack.pack(meta)
  return struct.pack('>I2', #packed) .. packed
end

local function frame(meta, blob) return head(meta) .. blob end

-- blob: what follows where the entry is announced, or false where it is not sent along
local function add_entry(s, size, entry, blob)
  s.top, s.bytes = s.top + 1, s.bytes + size
  local entries, blobs = s.entries, s.blobs
  if not entries then
    s.entries, s.blobs = { entry }, { blob }
  else
    local n = #entries + 1
    entries[n], blobs[n] = entry, blob
  end
end

local function append(s, meta, blob, stored, rest)
  rest = rest or '' -- of the blob: megabytes are not put together only to be left out
  local size = #blob + #rest
  meta[1], meta[2] = size + 64, now
  local bare = head(meta)
  add_entry(s, meta[1], stored and bare .. blob or bare, stored and '' or #bare + size <= LIVE_ENTRY_MAX and blob .. rest)
end

-- kind c: seq, and where the piece lies in the task's text. As `head` would write {size, now, 'c', task, attempt, seq, from, to},
-- which takes it three times as long: of most events this is most of what they cost.
local function append_piece(s, task, seq, from, delta)
  if seq >= 2 ^ 32 then return append(s, { 0, 0, 'c', task.id, task.attempt, seq, from, task.text_bytes }, delta, false) end
  local id, size = task.id, #delta + 64
  local int32 = 0xce * 2 ^ 32 -- a number of 4 bytes follows
  -- 98: 8 values, ce: 4 bytes, cf: 8 bytes, a1 63: 'c', d9: a text of so many bytes
  local bare = struct.pack('>I2I2I4BI8I4c0I5I5I5I5', 39 + #id, 0x98ce, size, 0xcf, now, 0xa163d900 + #id, id, int32 + task.attempt, int32 + seq,
    int32 + from, int32 + task.text_bytes)
  add_entry(s, size, bare, #bare + #delta <= LIVE_ENTRY_MAX and delta)
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
  amend(s, 'held', math.max(0, s.held - 1))
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
    local written = task.written or 0
    joined = (written > 0 and redis.call('GETRANGE', task.text, 0, written - 1) or '') .. table.concat(task.append or {})
  end
  if task.held ~= '' then unhold(t, s, task) end
  if task.status == 'running' then t.running = t.running - 1 end
  go_on(task)
  shut_question(task)
  task.status, task.ended, task.append = status, true, nil
  append(s, { 0, 0, 'e', task.id, task.attempt, status, code, #joined }, joined, false, raw)
  store_all(task, { 'status', status, 'ended_at', now_text, 'result', raw, 'position', position(s), 'payload', '' })
  if code ~= '' then store(task, 'code', code) end
  if joined ~= '' then store(task, 'text', joined) end
  local endings = s.endings
  if not endings then s.endings = { 'state', '', task.id, s.top } else add_pair(endings, task.id, s.top) end
  s.waiting = s.waiting + 1
  t.bytes = t.bytes - (task.bytes or 0)
  t.ended[#t.ended + 1] = { task.id, status, now - task.accepted_at, task.session,
    s.held > 0 and code ~= 'suspended', task.context, task.tier }
  bump(t, 'agent|' .. task.context .. '|' .. status)
  bump(t, 'latency|' .. math.floor(STEPS * math.log(math.max((now - task.accepted_at) / 1000, 1))))
end

local function bury(t, raw, reason)
  touch_dead(t)
  count(t, 'dead|' .. reason)
  local whole, digest = t.whole or #raw, '' -- raw may be no more than the ends of it (deliver_huge.lua)
  if #raw > DEAD_ENTRY_MAX then
    digest = t.digest -- Python's: it takes 2 ms a MiB
    raw = raw:sub(1, DEAD_ENTRY_MAX)
  end
  t.dead[#t.dead + 1] = frame({ reason, now, whole, digest }, raw)
end

-- In each call:
now, now_text = moment()
