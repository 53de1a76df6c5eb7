-- Reading a session's log. Entries come out whole: chunks with their text, endings with their callback.

local PAGE_EVENTS, PAGE_BYTES = 1000, 256 * 1024

local function ending(t, meta)
  local h = redis.call('HMGET', t.T .. 'task:' .. meta[4], 'text', 'result')
  return h[2] and frame(meta, (h[1] or '') .. h[2]) or nil
end

-- Where a chunk stands now: 'covered' by its task's ending or by a newer attempt, else 'open'.
local function chunk_state(known, t, meta)
  local task = known[meta[4]]
  if not task then
    local h = redis.call('HMGET', t.T .. 'task:' .. meta[4], 'status', 'attempt')
    task = { over = not h[1] or ENDED[h[1]], attempt = tonumber(h[2] or 0) }
    known[meta[4]] = task
  end
  return (task.over or task.attempt > meta[5]) and 'covered' or 'open'
end

-- Chunks that follow one another are read as one; the meta of the merged entry has the first seq at index 9.
local function flush(t, page, run)
  if not run then return 0 end
  local meta = run.meta
  -- An empty piece at the beginning would be the range 0 to -1: all of the text.
  local text = meta[8] > meta[7] and redis.call('GETRANGE', t.T .. 'text:' .. meta[4], meta[7], meta[8] - 1) or ''
  page[#page + 1] = { run.offset, frame(meta, text) }
  return #text
end

local function follows(run, meta, offset)
  local last = run and run.meta
  return last and run.offset == offset - 1 and last[4] == meta[4] and last[5] == meta[5] and last[8] == meta[7]
end

-- Whether the entry at `offset` is the one that the reader has seen: it must bear its mark. A server that lost its last
-- writes is recognised by that. The entry before the first that is kept cannot be asked
-- any more, and a reader that tells no mark is believed.
local function is_seen(s, offset, mark)
  if offset > s.top or offset < s.top - s.len then return false end
  if not mark then return true end
  if offset == s.top then return mark == s.mark end
  if offset == s.top - s.len then return true end
  local entry = redis.call('LINDEX', s.log, offset - (s.top - s.len + 1))
  local n = struct.unpack('>I2', entry)
  return cmsgpack.unpack(entry:sub(3, 2 + n))[2] == mark
end

-- Events after `from`, at most a page: {{offset, entry}, …}, the offset reached and its mark. What ended meanwhile stands for its
-- chunks, so offsets may jump. An ending whose record has gone cannot be told any more: fourth result its offset.
local function read_page(t, s, from)
  local first = s.top - s.len + 1
  local items = redis.call('LRANGE', s.log, from + 1 - first, from - first + PAGE_EVENTS)
  local page, known, run, size, reached, mark = {}, {}, nil, 0, from, 0
  for i, item in ipairs(items) do
    if size > PAGE_BYTES then break end
    local n = struct.unpack('>I2', item)
    local meta, offset = cmsgpack.unpack(item:sub(3, 2 + n)), from + i
    if meta[3] ~= 'c' then
      size = size + flush(t, page, run)
      run = nil
      local entry = item
      if meta[3] == 'e' then entry = ending(t, meta) end
      if not entry then return page, offset, meta[2], offset end
      page[#page + 1] = { offset, entry }
      size = size + #entry
    elseif chunk_state(known, t, meta) == 'open' then
      if follows(run, meta, offset) then
        run.meta[2], run.meta[6], run.meta[8], run.offset = meta[2], meta[6], meta[8], offset
      else
        size = size + flush(t, page, run)
        meta[9] = meta[6]
        run = { meta = meta, offset = offset }
      end
    end
    reached, mark = offset, meta[2]
  end
  flush(t, page, run)
  return page, reached, mark
end

local function add_page(reply, page)
  local offsets = {}
  for i, event in ipairs(page) do
    offsets[i] = event[1]
    reply[#reply + 1] = event[2]
  end
  return offsets
end
