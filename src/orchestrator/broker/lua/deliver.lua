#!lua library=callbacks flags=allow-oom
-- Callbacks from tenants' queues to their sessions' logs: taking and its whole effect are one step.
-- KEYS    callback queues; in a Cluster all of one slot
-- ARGV[1] msgpack {keep…, items: at most so many callbacks, bytes: so much of them, at least BIG, or what takes as long}
-- result  a msgpack list per queue: taken, left, stop ('', 'big': deliver_big.lua must take the next one, 'error'), error,
--         size (of a big one), counts, due, started {{task, µs since accepted}}, ended {{task, status, µs, session}}, moves; what follows
--         the size only as far as there is something to tell

local args, share, budget

local function error_text(err) return type(err) == 'table' and err.err or tostring(err) end

local function take_other(t, raw, c)
  if c then take(t, raw, c, '') else bury(t, raw, 'not_json') end
end

-- Looks at the tail, one by one, and takes until something stops it; counts in t.done. Writes nothing. An element of any size is copied to be
-- looked at, so none is looked at before its turn.
local function plan(t, most)
  while t.done < most and budget > 0 do
    local raw = redis.call('LINDEX', t.queue, -(t.done + 1))
    if #raw > BIG then
      budget = budget - #raw -- another queue's may be as large
      return 'big', '', #raw
    end
    local id, attempt, seq, delta = plain_piece(raw)
    local c = not id and #raw <= budget and envelope(raw)
    local cost = #raw + (c and c.took and cost_of_took(c) or 0)
    -- The first of a call is taken whatever it costs; another that goes beyond the bytes is the first of the next call.
    if cost > budget and budget < args.bytes then
      budget = 0 -- what was looked at has had its time
      break
    end
    if not (id and take_piece(t, id, attempt, seq, delta)) then take_other(t, raw, c or envelope(raw)) end
    t.done = t.done + 1
    budget = budget - cost
  end
end

local function pump(queue)
  local t = open_tenant(queue, args)
  local waiting = redis.pcall('LLEN', queue)
  if type(waiting) == 'table' then return outcome(t, 0, 'error', error_text(waiting), 0, 0) end
  t.done = 0
  local ok, stop, why, size = pcall(plan, t, math.min(share, waiting))
  if not ok then stop, why = 'error', error_text(stop) end
  if t.done > 0 then
    commit(t)
    redis.call('LTRIM', queue, 0, -(t.done + 1))
    publish(t)
  end
  return outcome(t, t.done, stop, why, size, waiting - t.done)
end

-- In each call:
args = cmsgpack.unpack(ARGV[1])
share = math.max(2, math.floor(args.items / #KEYS))
budget = args.bytes
local replies = {}
for i, queue in ipairs(KEYS) do replies[i] = pump(queue) end
return replies
