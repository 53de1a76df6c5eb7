-- What one callback does to its task and session; shared by deliver.lua and deliver_big.lua.
-- `c` is the decoded envelope: action_type, task_id, status, attempt, seq, delta, has_response, has_result, lease, retry, took; of a
-- question has_prompt, question, expires_in.

local BIG, TOOK_MAX, TOOK_COST = 40 * 1024, 100, 400
local ENDINGS = { completed = 'completed', failed = 'failed', timeout = 'timeout', cancelled = 'cancelled' }
local OTHERS = { running = true, streaming = true, progress = true, input_required = true }
local TAKEN = { running = 'taken|running', streaming = 'taken|streaming', progress = 'taken|progress', input_required = 'taken|input_required',
  completed = 'taken|completed', failed = 'taken|failed', timeout = 'taken|timeout', cancelled = 'taken|cancelled' }

local function whole(x, least) return type(x) == 'number' and x >= least and x < 2 ^ 53 and x == math.floor(x) end

local function given(x) if x == nil or x == cjson.null then return nil end return x end

-- The reason why a callback is nobody's business, or nil.
local function fault(c)
  if c.action_type ~= nil and c.action_type ~= 'execution.callback' then return 'unknown_action' end
  local id, status = c.task_id, c.status
  if type(id) ~= 'string' or #id > 128 or not id:find('^task%-[%w_-]+$') then return 'unknown_task' end
  if type(status) ~= 'string' or not (OTHERS[status] or ENDINGS[status]) then return 'unknown_status' end
  if c.attempt ~= nil and not whole(c.attempt, 1) then return 'invalid_attempt' end
  if c.seq ~= nil and not whole(c.seq, 0) then return 'invalid_seq' end
  if c.lease ~= nil and not (c.lease == true or type(c.lease) == 'number' and c.lease > 0 and c.lease < 2 ^ 53) then return 'invalid_lease' end
  if status == 'streaming' then return type(c.delta) ~= 'string' and 'missing_delta' or nil end
  if status == 'input_required' then return fault_of_question(c) end
  return nil
end

-- Bytes of a character that the piece before has begun would be one with it in the text, and two in what viewers were shown.
local function whole_piece(delta)
  return (delta:gsub('^[\128-\191]+', function(lost) return ('\239\191\189'):rep(#lost) end))
end

-- Whether the record tells of this piece: the first, or one too many. A wrong byte becomes three.
local function is_noted(task, delta)
  return task.chunks == 0 or task.chunks >= CHUNKS_MAX or task.text_bytes + 3 * #delta > TEXT_MAX
end

-- noted: see `is_noted`
local function take_chunk(t, s, task, seq, delta, noted)
  local before, from = task.seq, task.text_bytes
  seq = seq or before + 1
  if seq <= before then return count(t, 'dropped|duplicate') end
  if seq > before + 1 then count(t, 'seq_gap') end
  task.seq, task.pieces = seq, true
  local first = delta:byte()
  if first and first >= 128 and first < 192 then delta = whole_piece(delta) end
  local size = #delta
  if noted then
    if task.chunks >= CHUNKS_MAX or from + size > TEXT_MAX then
      change(task, 'lost', '1')
      return count(t, 'dropped|too_much_text')
    end
    if task.chunks == 0 then store(task, 'first_chunk_at', now_text) end
  end
  task.chunks, task.text_bytes = task.chunks + 1, from + size
  local append = task.append
  if append then append[#append + 1] = delta else task.append = { delta } end
  if task.stream then append_piece(s, task, seq, from, delta) end
end

-- Seconds, or true for the usual; held to what makes sense.
local function asked_lease(t, c)
  if c.status ~= 'running' or not c.lease then return nil end
  return c.lease == true and t.keep.lease or math.floor(math.max(1, math.min(3600, c.lease)) * SECOND)
end

-- A hundred messages that end take about as long as 40 KiB of the worst JSON: 4 ms.
local function cost_of_took(c) return type(c.took) == 'table' and TOOK_COST * math.min(#c.took, TOOK_MAX) or 0 end

-- An agent says which of the messages that were handed to it its answer takes into account.
local function absorb(t, s, task, took)
  for i = 1, math.min(#took, TOOK_MAX) do
    local id = took[i]
    local other = type(id) == 'string' and #id <= 128 and load_task(t, id)
    if other and not ENDED[other.status] and other.held == task.id then
      other.read = true
      end_task(t, s, other, 'cancelled', 'merged', merged_into(task.id), true)
    end
  end
end

local function take_report(t, s, task, c, raw)
  if c.status == 'input_required' then return take_question(t, s, task, c, raw) end
  local shown = c.status == 'running' and c.has_result and raw or ''
  if task.status == 'input_required' then
    -- A sign of life, or what goes on beside the question, is no word about it.
    if c.status == 'running' and not c.lease and not c.took then withdraw_question(t, s, task, shown) end
  elseif task.status ~= 'running' then
    start_task(t, s, task, shown)
  elseif shown ~= '' then
    append_update(t, s, task, 'running', raw)
  end
  if c.status == 'streaming' then
    take_chunk(t, s, task, c.seq, c.delta, true)
  elseif c.status == 'progress' then
    append_update(t, s, task, 'progress', raw)
  end
end

-- Takes a piece of text of a task that runs, which is most of all there is. False: it is something else, and nothing is noted.
local function take_piece(t, id, attempt, seq, delta)
  local task = glance(t, id)
  if not task or task.status ~= 'running' or attempt and attempt ~= task.attempt then return false end
  local noted = is_noted(task, delta)
  if noted and not touch_record(t, task) then return false end
  local s = session_of(t, task)
  count(t, 'taken|streaming')
  if task.lease then renew_lease(t, task) end
  take_chunk(t, s, task, seq, delta, noted)
  return true
end

-- Its task, or nil; all that it may change has been read.
local function task_of(t, c)
  if not glance(t, c.task_id) then return nil end
  touch_tenant(t)
  return load_task(t, c.task_id)
end

-- Decides about one callback and notes its whole effect in the tables; raises only before it noted anything.
local function take(t, raw, c, code)
  local reason = fault(c)
  if reason then return bury(t, raw, reason) end
  if c.status == 'streaming' and not c.took and take_piece(t, c.task_id, c.attempt, c.seq, c.delta) then return end
  local task = task_of(t, c)
  if not task then return bury(t, raw, 'unknown_task') end
  if ENDED[task.status] then return count(t, 'dropped|late') end
  if c.attempt and c.attempt < task.attempt then return count(t, 'dropped|fenced') end
  if c.attempt and c.attempt > task.attempt then return bury(t, raw, 'unknown_attempt') end
  local s = session_of(t, task)
  count(t, TAKEN[c.status])
  if type(c.took) == 'table' then absorb(t, s, task, c.took) end
  if not ENDINGS[c.status] then
    renew_lease(t, task, asked_lease(t, c))
    return take_report(t, s, task, c, raw)
  end
  -- An agent that reports nothing else has begun with it all the same, or its queue would seem to have none.
  if task.status ~= 'running' and task.status ~= 'input_required' then move(t, task, task.deadline) end
  if c.status == 'failed' and c.retry == true and code == '' then return try_again(t, s, task, raw) end
  -- An answer of which pieces were dropped is no answer.
  if c.status == 'completed' and task.lost and not c.has_response then code = 'result_too_large' end
  if code ~= '' then return end_task(t, s, task, 'failed', code, '', true) end
  end_task(t, s, task, c.status, '', raw, c.has_response)
end

-- A number is as good a name as its digits.
local function question_name(x) return whole(x, 0) and int(x) or x end

-- A piece of text as most agents spell it, and those of the SDK: what cjson would find in it, for a third of the time; task, attempt,
-- seq, delta. Of any other shape it is nil, which says nothing.
local PIECE_MAX = 300 -- a longer one is found as fast by cjson
local PLAIN = '^{"task_id": ?"(task%-[%w_-]+)", ?"status": ?"streaming", ?"seq": ?(%d+), ?"result": ?{"delta": ?"([^"\\%z]*)"}}$'
local FULL = '^{"action_type":"execution%.callback","task_id":"(task%-[%w_-]+)","status":"streaming","attempt":(%d+),"seq":(%d+),"result":{"delta":"([^"\\%z]*)"}}$'

local function plain_piece(raw)
  if #raw > PIECE_MAX then return nil end
  local id, attempt, seq, delta
  if raw:byte(3) == 97 then id, attempt, seq, delta = raw:match(FULL) else id, seq, delta = raw:match(PLAIN) end
  if not id or #id > 128 or #seq > 15 then return nil end
  attempt = attempt and tonumber(attempt)
  if attempt and not (attempt >= 1 and attempt < 2 ^ 53) then return nil end
  return id, attempt, seq + 0, delta
end

local function envelope(raw)
  if not raw:find('^%s*{') then return nil end
  local ok, c = pcall(cjson.decode, raw)
  if not ok or type(c) ~= 'table' then return nil end
  local result = type(c.result) == 'table' and c.result or {}
  if c.status == 'streaming' then
    return { action_type = given(c.action_type), task_id = c.task_id, status = c.status, attempt = given(c.attempt), seq = given(c.seq),
      lease = given(c.lease), delta = result.delta, took = c.took }
  end
  local e = { action_type = given(c.action_type), task_id = c.task_id, status = c.status, attempt = given(c.attempt), seq = given(c.seq),
    lease = given(c.lease), took = c.took, has_response = given(result.response) ~= nil }
  if ENDINGS[c.status] then
    if c.status == 'failed' then e.retry = c.retry end
    return e
  end
  e.has_result = next(result) ~= nil
  if c.status ~= 'input_required' then return e end
  e.has_prompt, e.question = type(result.prompt) == 'string' and result.prompt ~= '', question_name(given(result.question))
  e.expires_in = given(result.expires_in)
  return e
end

-- The callback at the tail, if it is the one that Python read: as long, and with the pieces that came along where it had them.
local function seen_at_tail(t, seen)
  local raw = redis.call('LINDEX', t.queue, -1)
  if not raw or #raw ~= seen.size then return nil end
  for i, place in ipairs(seen.places) do
    local piece = ARGV[i + 1]
    if raw:sub(place + 1, place + #piece) ~= piece then return nil end
  end
  t.digest = seen.digest
  return raw
end

-- left: how many still wait, where that is known
local function outcome(t, taken, stop, err, size, left)
  left = left or redis.call('LLEN', t.queue)
  if not next(t.counts) then return cmsgpack.pack({ taken, left, stop or '', err or '', size or 0 }) end
  if not t.open then return cmsgpack.pack({ taken, left, stop or '', err or '', size or 0, t.counts, t.due or 0 }) end
  return cmsgpack.pack({ taken, left, stop or '', err or '', size or 0, t.counts, t.due or 0, t.started, t.ended, t.moves })
end
