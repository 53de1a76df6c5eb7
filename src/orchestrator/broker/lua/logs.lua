-- Sessions and their logs.

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
