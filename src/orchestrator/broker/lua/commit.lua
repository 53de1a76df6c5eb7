-- The second half of every script of a tenant's slot: what the tables say is written, and told.

local function keep_score(t, name, score, task)
  local key = t.T .. name
  redis.call('ZADD', key, score, task.id)
  local until_ms = math.ceil((task.deadline - now + t.keep.task_ttl) / 1000)
  local life = t.lives[name] or redis.call('PTTL', key)
  if life < until_ms then redis.call('PEXPIRE', key, until_ms) end
  t.lives[name] = math.max(life, until_ms)
end

local NOTHING = {}

-- See attempts.lua. What was recorded and is not pushed in time is pushed by the agenda: of a next attempt the time
-- counts back from when it may begin.
local function commit_attempt(t, task)
  if task.forget then
    redis.call('HDEL', task.key, unpack(task.forget))
    if not task.ended then keep_score(t, 'unpushed', task.push_at - PATIENCE, task) end
  end
  if task.forget or (task.lease and (task.ended or task.status == 'input_required')) then
    redis.call('ZREM', t.T .. 'leases', task.id)
  elseif task.leased_until then
    keep_score(t, 'leases', task.leased_until, task)
  end
end

-- See turns.lua. What the agent has read stays in the inbox: a next attempt needs it too.
local function commit_unheld(t, task)
  redis.call('ZREM', t.T .. 'held', task.id)
  if task.unheld == '1' or task.read then return end
  t.leaving = t.leaving or {}
  t.leaving[task.unheld] = t.leaving[task.unheld] or {}
  t.leaving[task.unheld][task.id] = true
end

-- Each inbox is read once, however many leave it. A line begins with its task.
local function commit_inboxes(t)
  for target, ids in pairs(t.leaving or NOTHING) do
    local inbox, stays, goes = t.T .. 'inbox:' .. target, 0, {}
    for _, line in ipairs(redis.call('LRANGE', inbox, 0, -1)) do
      if ids[line:match('^{"task_id":"([^"]*)"')] then goes[#goes + 1] = line else stays = stays + 1 end
    end
    if stays == 0 then redis.call('UNLINK', inbox) end
    for _, line in ipairs(stays > 0 and goes or {}) do redis.call('LREM', inbox, 1, line) end
  end
end

-- See asks.lua. The end of the task lies elsewhere than it was told to these keys; in Redis, PEXPIREAT of a missing key is none.
local function commit_wait(t, task)
  local answers = t.T .. 'answers:' .. task.id
  for name, answer in pairs(task.answers or {}) do redis.call('HSET', answers, name, answer) end
  if task.ended then return redis.call('PEXPIREAT', answers, math.floor((now + t.keep.log_ttl) / 1000)) end
  if not task.moved then return redis.call('PEXPIREAT', answers, math.floor((task.deadline + t.keep.task_ttl) / 1000)) end
  keep_score(t, 'outstanding', task.status == 'input_required' and task.expires_at or task.deadline, task)
  local gone_at = math.floor((task.deadline + t.keep.task_ttl) / 1000)
  for _, kept in ipairs({ task.key, answers, task.text, t.T .. 'inbox:' .. task.id }) do
    redis.call('PEXPIREAT', kept, gone_at)
  end
  local listed = t.T .. 'tasks:' .. task.session
  if redis.call('PEXPIRETIME', listed) < gone_at then redis.call('PEXPIREAT', listed, gone_at) end
end

-- The text that came, and `run` behind it.
local function commit_text(t, task)
  if not task.rest then task.rest = packed_rest(task) end
  local append = task.append
  local piece = append and (#append == 1 and append[1] or table.concat(append)) or ''
  local tail = piece .. struct.pack('>I8I4I4', task.seq + 1, task.chunks, task.text_bytes) .. task.rest
  if task.written then return redis.call('SETRANGE', task.text, task.written, tail) end
  redis.call('SET', task.text, tail, 'PXAT', math.floor((task.deadline + t.keep.task_ttl) / 1000))
end

local function commit_task(t, task)
  if task.set then redis.call('HSET', task.key, unpack(task.set)) end
  if task.pieces or task.set and (task.written or task.status == 'running') then
    if not task.ended then commit_text(t, task) end
  end
  if task.lease or task.forget then commit_attempt(t, task) end
  if task.question then commit_wait(t, task) end
  if task.unheld then commit_unheld(t, task) end
  if task.ended then
    -- It is kept for that long after its deadline so far: hardly longer, as a rule.
    if task.question or task.deadline < now or task.deadline - now > t.keep.task_ttl / 100 then
      redis.call('PEXPIREAT', task.key, math.floor((now + t.keep.task_ttl) / 1000))
    end
  end
end

local function drop_oldest(s, count)
  for _, entry in ipairs(redis.call('LPOP', s.log, count)) do
    local n = struct.unpack('>I2', entry)
    s.bytes = s.bytes - cmsgpack.unpack(entry:sub(3, 2 + n))[1]
    s.len = s.len - 1
  end
end

-- Drops from the left until the log fits its bounds; the newest entry always stays.
local function trim(t, s)
  local most = t.keep.max_events
  if s.len <= most and s.bytes <= t.keep.max_bytes then return end
  if s.len > most and s.len > 1 then drop_oldest(s, s.len - math.max(1, most)) end
  while s.len > 1 and s.bytes > t.keep.max_bytes do drop_oldest(s, 1) end
end

-- Lua hands over a few thousand values at once and no more.
local function write_all(command, key, values)
  if #values == 1 then return redis.call(command, key, values[1]) end
  if #values <= 1000 then return redis.call(command, key, unpack(values)) end
  for from = 1, #values, 1000 do redis.call(command, key, unpack(values, from, math.min(#values, from + 999))) end
end

-- Of the endings that wait for their reader the newest are kept, and for a while more, so that not each one costs this.
local function forget_endings(s)
  local _, _, endings = read_endings(s.key)
  local new = #s.endings / 2 - 1
  local over, oldest = math.min(#endings, #endings + new - WAITING_KEPT), {}
  for i = 1, over do oldest[i] = endings[i][2] end
  if over > 0 then write_all('HDEL', s.key, oldest) end
  s.waiting = #endings - #oldest + new
end

local function commit_state(s)
  local endings = s.endings
  if not endings then return redis.call('HSET', s.key, 'state', packed_state(s)) end
  if s.waiting > WAITING_MAX then forget_endings(s) end
  endings[2] = packed_state(s)
  write_all('HSET', s.key, endings)
end

local function commit_session(t, s)
  local renew = s.fresh or s.len == 0
  if s.fresh then redis.call('DEL', s.log, s.key) end
  if s.entries then
    write_all('RPUSH', s.log, s.entries)
    s.len = s.len + #s.entries
    trim(t, s)
  end
  local target = (s.keep > now and s.keep or now) + t.keep.log_ttl
  if renew or s.expires < target - t.keep.log_ttl / 10 then
    amend(s, 'expires', math.max(s.expires, target))
    renew = true
  end
  commit_state(s)
  if s.owner and s.owner ~= (s.owner_before or '') then redis.call('HSET', s.key, 'owner', s.owner) end
  if renew then
    local at = math.floor(s.expires / 1000)
    redis.call('PEXPIREAT', s.key, at)
    redis.call('PEXPIREAT', s.log, at)
  end
end

local function commit_dead(t)
  if not t.dead then return end
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
  redis.call('HSET', t.T .. 'tenant', 'dead_bytes', t.dead_bytes)
  redis.call('EXPIRE', t.T .. 'tenant', 14 * 86400)
  redis.call('EXPIRE', key, 7 * 86400)
end

local function commit_stats(t)
  for field, by in pairs(t.stats) do redis.call('HINCRBY', t.stats_key, field, by) end
  if next(t.stats) and t.stats_new then redis.call('EXPIRE', t.stats_key, 90000) end
  local sums = {}
  if t.running ~= 0 then sums = { 'running', t.open_running + t.running } end
  if t.bytes ~= 0 then sums[#sums + 1], sums[#sums + 2] = 'bytes', t.open_bytes + t.bytes end
  if #sums == 0 then return end
  redis.call('HSET', t.T .. 'tenant', unpack(sums))
  if t.sums_new then redis.call('EXPIRE', t.T .. 'tenant', 14 * 86400) end
end

-- Where the tasks that have ended were listed, and what else they leave.
local function commit_endings(t)
  if #t.ended == 0 then return end
  local ids, left = {}, {}
  for i, ended in ipairs(t.ended) do
    ids[i] = ended[1]
    left[2 * i - 1], left[2 * i] = t.tasks[ended[1]].text, t.T .. 'inbox:' .. ended[1]
  end
  write_all('ZREM', t.T .. 'outstanding', ids)
  if t.unpushed > 0 then write_all('ZREM', t.T .. 'unpushed', ids) end
  for i = 1, #left, 1000 do redis.call('UNLINK', unpack(left, i, math.min(#left, i + 999))) end
end

-- One message a batch: length of the index (4 bytes), index {{session, epoch, first offset, {lengths}, mark of the
-- entry before}, …}, entries. Length 0: too large to send along, the reader takes it from the log. In MessagePack dd is a list, and
-- 149 one of five: to put them before is faster than to make tables.
local function publish(t)
  local index, parts, size, n, p = { '' }, { '', '', '', '' }, 0, 0, 2
  for i = 1, #t.order do
    local s = t.order[i]
    local entries, lengths = s.entries, s.blobs -- each blob gives way to its length
    for j = 1, entries and #entries or 0 do
      local entry, blob = entries[j], lengths[j]
      local length = blob and #entry + #blob or 0
      if length > LIVE_ENTRY_MAX or size + length > PUBLISH_MAX then length = 0 end
      if length > 0 then parts[p + 1], parts[p + 2], p = entry, blob, p + 2 end
      size = size + length
      lengths[j] = length
    end
    if entries then
      n = n + 1
      index[n] = '\149' .. cmsgpack.pack(s.id, s.epoch, s.top - #entries + 1, lengths, s.mark)
    end
  end
  if n == 0 then return end
  local runs = table.concat(index)
  parts[1], parts[2] = struct.pack('>I4BI4', #runs + 5, 0xdd, n), runs
  -- The log has the events already: a lost announcement is found by the readers' own checks.
  local sent = redis.pcall('SPUBLISH', t.T .. 'events', table.concat(parts))
  if type(sent) == 'table' and sent.err then count(t, 'publish_failed') end
end

local function commit(t)
  for _, task in pairs(t.tasks) do commit_task(t, task) end
  for i = 1, #t.order do
    local s = t.order[i]
    if s.fresh or s.entries or s.dirty then commit_session(t, s) end
  end
  if not t.open then return end -- nothing but pieces of text
  commit_endings(t)
  commit_inboxes(t)
  commit_dead(t)
  commit_stats(t)
end
