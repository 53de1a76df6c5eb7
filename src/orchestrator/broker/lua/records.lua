-- The records of tasks, and what a piece of text needs of them.

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
