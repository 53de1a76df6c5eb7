-- Steps that the scripts of a tenant's slot share; put in front of each of them when it is loaded.
--
-- Moments are microseconds since 1970 by the server's clock, the only clock that decides anything.
-- A script works in two halves. First it reads: tasks and sessions are loaded into tables, and every
-- key that may be written is touched, so that WRONGTYPE, NOPERM and ASK are raised while nothing has
-- changed. Then `commit` writes the tables back. Lua does not roll back; this leaves nothing to.

local function moment()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

local now = moment()

local function int(x) return string.format('%.0f', x) end

local CHUNKS_MAX, TEXT_MAX = 20000, 4 * 1024 * 1024
local PUBLISH_MAX, LIVE_ENTRY_MAX = 256 * 1024, 64 * 1024
local DEAD_MAX, DEAD_BYTES_MAX, DEAD_ENTRY_MAX, DEAD_KEPT = 1000, 4 * 1024 * 1024, 64 * 1024, 7 * 86400 * 1000000
local SOCKET_KEPT = 120 * 1000000
local ENDED = { completed = true, failed = true, timeout = true, cancelled = true }
local TASK_FIELDS = { 'status', 'attempt', 'session', 'stream', 'deadline', 'seq', 'chunks', 'text_bytes',
  'bytes', 'accepted_at', 'started_at', 'first_chunk_at', 'context', 'owner', 'queued_at', 'lost' }

-- keep: how long things are kept (see Keeping in broker.py), with the seed of a new epoch.
local function open_tenant(queue, keep)
  local T = '{' .. queue .. '}:'
  return { queue = queue, T = T, keep = keep, tasks = {}, sessions = {}, order = {}, dead = {}, stats = {}, counts = {},
    ended = {}, started = {}, running = 0, bytes = 0, stats_key = T .. 'stats:' .. int(math.floor(now / 600000000)) }
end

-- Every key of the tenant that `commit` may write, read once.
local function touch_tenant(t)
  redis.call('ZCARD', t.T .. 'outstanding')
  redis.call('ZCARD', t.T .. 'unpushed')
  redis.call('LLEN', t.T .. 'dead')
  t.dead_bytes = tonumber(redis.call('HGET', t.T .. 'tenant', 'dead_bytes') or 0)
  t.stats_new = redis.call('HLEN', t.stats_key) == 0
end

local function count(t, what) t.counts[what] = (t.counts[what] or 0) + 1 end

local function load_task(t, id)
  local task = t.tasks[id]
  if task then return task end
  local h = redis.call('HMGET', t.T .. 'task:' .. id, unpack(TASK_FIELDS))
  if not h[1] then return nil end
  redis.call('STRLEN', t.T .. 'text:' .. id)
  task = { id = id, set = {}, append = {} }
  for i, name in ipairs(TASK_FIELDS) do task[name] = h[i] or nil end
  for _, name in ipairs({ 'attempt', 'deadline', 'seq', 'chunks', 'text_bytes', 'bytes', 'accepted_at' }) do
    task[name] = tonumber(task[name])
  end
  t.tasks[id] = task
  return task
end

local function change(task, name, value)
  task[name] = value
  task.set[name] = value
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
local function load_session(t, id)
  local s = t.sessions[id]
  if s then return s end
  local key, log = t.T .. 'session:' .. id, t.T .. 'log:' .. id
  local h = redis.call('HMGET', key, 'epoch', 'top', 'bytes', 'mark', 'owner', 'keep', 'expires')
  local len = redis.call('LLEN', log)
  redis.call('ZCARD', t.T .. 'acks:' .. id)
  s = { id = id, key = key, log = log, epoch = h[1], top = tonumber(h[2] or 0), bytes = tonumber(h[3] or 0), mark = h[4] or '0',
    owner = h[5] or '', keep = tonumber(h[6] or 0), expires = tonumber(h[7] or 0), len = len, entries = {}, live = {}, acks = {} }
  if not s.epoch then
    s.fresh, s.epoch, s.top, s.bytes, s.len, s.mark = true, t.keep.seed, 0, 0, 0, '0'
    s.owner = kept_owner(t, id)
  end
  if s.len == 0 then s.bytes = 0 end
  s.before, s.before_mark = s.top, s.mark
  t.sessions[id] = s
  t.order[#t.order + 1] = s
  return s
end

-- The session of a task. One that begins anew takes its owner from the task, so that nobody else can claim it.
local function session_of(t, task)
  local s = load_session(t, task.session)
  if s.fresh then
    if s.owner == '' then s.owner = task.owner or '' end
    s.keep = math.max(s.keep, task.deadline)
  end
  return s
end

local function position(s) return s.epoch .. ':' .. int(s.top) .. '-' .. s.mark end

-- An entry: length of the meta (2 bytes), meta {size, at, kind, task, attempt, …}, blob. In the list the
-- blob of a chunk or an ending is left out: the task's text and record hold it.
local function head(meta)
  local packed = cmsgpack.pack(meta)
  return struct.pack('>I2', #packed) .. packed
end

local function frame(meta, blob) return head(meta) .. blob end

local function append(t, s, meta, blob, stored)
  meta[1], meta[2] = #blob + 64, now
  local bare = head(meta)
  local entry = bare .. blob
  s.top, s.mark, s.bytes = s.top + 1, int(now), s.bytes + meta[1]
  s.entries[#s.entries + 1] = stored and entry or bare
  s.live[#s.live + 1] = #entry > LIVE_ENTRY_MAX and '' or entry
end

-- kind u: status, blob = the callback whose `result` is the detail, or ''
local function append_update(t, s, task, status, blob)
  append(t, s, { 0, 0, 'u', task.id, task.attempt, status }, blob, true)
end

local function bump(t, field, by) t.stats[field] = (t.stats[field] or 0) + (by or 1) end

local function start_task(t, s, task, blob)
  change(task, 'status', 'running')
  change(task, 'started_at', int(now))
  if not task.queued_at then change(task, 'queued_at', int(now)) end
  t.running = t.running + 1
  t.started[#t.started + 1] = { task.id, now - task.accepted_at }
  append_update(t, s, task, 'running', blob)
end

-- kind e: status, code, length of the joined text; blob = joined text .. callback. The record keeps both.
local function end_task(t, s, task, status, code, raw, has_response)
  local joined = ''
  if status == 'completed' and not has_response and task.chunks > 0 then
    joined = redis.call('GET', t.T .. 'text:' .. task.id) or ''
    joined = joined .. table.concat(task.append)
  end
  if task.started_at then t.running = t.running - 1 end
  change(task, 'status', status)
  change(task, 'code', code)
  change(task, 'ended_at', int(now))
  task.set.result, task.set.text = raw, joined
  task.ended, task.append = true, {}
  append(t, s, { 0, 0, 'e', task.id, task.attempt, status, code, #joined }, joined .. raw, false)
  task.set.position = position(s)
  s.acks[#s.acks + 1] = s.top
  s.acks[#s.acks + 1] = task.id
  t.bytes = t.bytes - (task.bytes or 0)
  t.ended[#t.ended + 1] = { task.id, status, now - task.accepted_at, task.session }
  bump(t, 'tasks|' .. status)
  bump(t, 'agent|' .. (task.context or '') .. '|' .. status)
  bump(t, 'latency|' .. int(math.floor(4 * math.log(math.max((now - task.accepted_at) / 1000, 1)) / math.log(2))))
end

local function bury(t, raw, reason)
  count(t, 'dead|' .. reason)
  local whole, digest = #raw, ''
  if whole > DEAD_ENTRY_MAX then
    digest = redis.sha1hex(raw)
    raw = raw:sub(1, DEAD_ENTRY_MAX)
  end
  t.dead[#t.dead + 1] = frame({ reason, now, whole, digest }, raw)
end

local function commit_task(t, task)
  local key, text = t.T .. 'task:' .. task.id, t.T .. 'text:' .. task.id
  local set = {}
  for name, value in pairs(task.set) do
    set[#set + 1] = name
    set[#set + 1] = type(value) == 'number' and int(value) or value
  end
  if #set > 0 then redis.call('HSET', key, unpack(set)) end
  if #task.append > 0 then
    local piece = table.concat(task.append)
    local length = redis.call('APPEND', text, piece)
    -- Its end is known from the start, so it is set once, when this made the key.
    if length == #piece then redis.call('PEXPIREAT', text, int((task.deadline + t.keep.log_ttl) / 1000)) end
  end
  if task.ended then
    redis.call('HDEL', key, 'payload')
    redis.call('UNLINK', text)
    redis.call('ZREM', t.T .. 'outstanding', task.id)
    redis.call('ZREM', t.T .. 'unpushed', task.id)
    redis.call('PEXPIREAT', key, int((now + t.keep.task_ttl) / 1000))
  end
end

-- Drops from the left until the log fits its bounds; the newest entry always stays.
local function trim(t, s)
  while s.len > 1 and (s.len > t.keep.max_events or s.bytes > t.keep.max_bytes) do
    local entry = redis.call('LPOP', s.log)
    local n = struct.unpack('>I2', entry)
    s.bytes = s.bytes - cmsgpack.unpack(entry:sub(3, 2 + n))[1]
    s.len = s.len - 1
  end
end

local function commit_session(t, s)
  local renew = s.fresh or s.len == 0
  if s.fresh then redis.call('DEL', s.log, t.T .. 'acks:' .. s.id) end
  if #s.entries > 0 then
    redis.call('RPUSH', s.log, unpack(s.entries))
    s.len = s.len + #s.entries
    trim(t, s)
  end
  local target = math.max(now, s.keep) + t.keep.log_ttl
  if renew or s.expires < target - t.keep.log_ttl / 10 then
    s.expires = target
    renew = true
  end
  redis.call('HSET', s.key, 'epoch', s.epoch, 'top', int(s.top), 'bytes', int(s.bytes), 'mark', s.mark,
    'owner', s.owner, 'keep', int(s.keep), 'expires', int(s.expires))
  if renew then
    redis.call('PEXPIREAT', s.key, int(s.expires / 1000))
    redis.call('PEXPIREAT', s.log, int(s.expires / 1000))
  end
  if #s.acks > 0 then
    local acks = t.T .. 'acks:' .. s.id
    redis.call('ZADD', acks, unpack(s.acks))
    redis.call('ZREMRANGEBYRANK', acks, 0, -1001)
    redis.call('PEXPIRE', acks, int(t.keep.task_ttl / 1000))
  end
end

local function commit_dead(t)
  if #t.dead == 0 then return end
  local key = t.T .. 'dead'
  for _, entry in ipairs(t.dead) do
    redis.call('LPUSH', key, entry)
    t.dead_bytes = t.dead_bytes + #entry
  end
  while true do
    local oldest = redis.call('LINDEX', key, -1)
    local n = struct.unpack('>I2', oldest)
    local at = cmsgpack.unpack(oldest:sub(3, 2 + n))[2]
    if redis.call('LLEN', key) <= DEAD_MAX and t.dead_bytes <= DEAD_BYTES_MAX and at > now - DEAD_KEPT then break end
    redis.call('RPOP', key)
    count(t, 'dead_overflow')
    t.dead_bytes = t.dead_bytes - #oldest
    if redis.call('LLEN', key) == 0 then break end
  end
  redis.call('HSET', t.T .. 'tenant', 'dead_bytes', int(t.dead_bytes))
  redis.call('EXPIRE', t.T .. 'tenant', 14 * 86400)
  redis.call('EXPIRE', key, 7 * 86400)
end

local function commit_stats(t)
  for field, by in pairs(t.stats) do redis.call('HINCRBY', t.stats_key, field, by) end
  if next(t.stats) and t.stats_new then redis.call('EXPIRE', t.stats_key, 90000) end
  if t.running ~= 0 then redis.call('HINCRBY', t.T .. 'tenant', 'running', t.running) end
  if t.bytes ~= 0 then redis.call('HINCRBY', t.T .. 'tenant', 'bytes', int(t.bytes)) end
  if t.running ~= 0 or t.bytes ~= 0 then redis.call('EXPIRE', t.T .. 'tenant', 14 * 86400) end
end

-- One message a batch: length of the index (4 bytes), index {{session, epoch, first offset, {lengths}, mark of the
-- entry before}, …}, entries. Length 0: too large to send along, the reader takes it from the log.
local function publish(t)
  local index, blobs, size = {}, {}, 0
  for _, s in ipairs(t.order) do
    if #s.live > 0 then
      local lengths = {}
      for i, entry in ipairs(s.live) do
        if size + #entry > PUBLISH_MAX then entry = '' end
        size = size + #entry
        lengths[i] = #entry
        blobs[#blobs + 1] = entry
      end
      index[#index + 1] = { s.id, s.epoch, s.before + 1, lengths, tonumber(s.before_mark) }
    end
  end
  if #index == 0 then return end
  local packed = cmsgpack.pack(index)
  -- The log has the events already: a lost announcement is found by the readers' own checks.
  local sent = redis.pcall('SPUBLISH', t.T .. 'events', struct.pack('>I4', #packed) .. packed .. table.concat(blobs))
  if type(sent) == 'table' and sent.err then count(t, 'publish_failed') end
end

local function commit(t)
  for _, task in pairs(t.tasks) do commit_task(t, task) end
  for _, s in ipairs(t.order) do
    if s.fresh or #s.entries > 0 or s.dirty then commit_session(t, s) end
  end
  commit_dead(t)
  commit_stats(t)
end
