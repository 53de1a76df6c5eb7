#!lua flags=allow-oom
-- Callbacks from tenants' queues to their sessions' logs: taking and its whole effect are one step.
-- KEYS    callback queues; in a Cluster all of one slot
-- ARGV[1] msgpack {keep…, items: at most so many callbacks, bytes: about so much of them}
-- result  a msgpack map per queue: taken, left, stop ('', 'big': deliver_big.lua must take the next one,
--         'error'), error, size (of a big one), counts, started {{task, µs since accepted}}, ended {{task, status, µs, session}}
-- include attempts asks callbacks

local args = cmsgpack.unpack(ARGV[1])
local share = math.max(2, math.floor(args.items / #KEYS))
local budget = args.bytes

-- Looks at the tail in steps and takes until something stops it; writes nothing.
local function plan(t)
  -- Steps grow from 1 to 16: an element of any size is copied to be looked at, so few are as long as nothing is known.
  local taken, step = 0, 1
  while taken < share and budget > 0 do
    local items = redis.call('LRANGE', t.queue, -(taken + step), -(taken + 1))
    for i = #items, 1, -1 do
      local raw = items[i]
      if #raw > BIG then return taken, 'big', '', #raw end
      if taken >= share or budget <= 0 then return taken end
      local c = envelope(raw)
      if c then
        local ok, err = pcall(take, t, raw, c, '')
        if not ok then return taken, 'error', type(err) == 'table' and err.err or tostring(err) end
      else
        bury(t, raw, 'not_json')
      end
      taken = taken + 1
      budget = budget - #raw
    end
    if #items < step then break end
    step = math.min(16, step * 2)
  end
  return taken
end

local function pump(queue)
  local t = open_tenant(queue, args)
  local ready, err = pcall(touch_tenant, t)
  if not ready then return t, 0, 'error', type(err) == 'table' and err.err or tostring(err) end
  local ok, taken, stop, why, size = pcall(plan, t)
  if not ok then return t, 0, 'error', type(taken) == 'table' and taken.err or tostring(taken) end
  return t, taken, stop, why, size
end

local replies = {}
for i, queue in ipairs(KEYS) do
  local t, taken, stop, why, size = pump(queue)
  if taken > 0 then
    commit(t)
    redis.call('LTRIM', queue, 0, -(taken + 1))
    publish(t)
  end
  local listed, reply = pcall(outcome, t, taken, stop, why, size)
  replies[i] = listed and reply or cmsgpack.pack({ taken = 0, left = 0, stop = 'error', error = why, size = 0, counts = {}, started = {}, ended = {} })
end
return replies
