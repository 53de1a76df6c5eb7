#!lua flags=allow-oom
-- Notes which endings reached a socket, and which of them the client acknowledged.
-- KEYS[1] callback queue
-- ARGV[1] msgpack {settled: {{session, epoch, delivered: offset, acknowledged: offset}, …}}
-- result  how many of them are noted whole; the next one has more to note than a call takes

local T, most

local function note(task, acknowledged)
  local key = T .. 'task:' .. task
  most = most - 1
  if redis.call('EXISTS', key) == 0 then return end
  redis.call('HSETNX', key, 'delivered_at', now_text)
  if acknowledged then redis.call('HSETNX', key, 'acknowledged_at', now_text) end
end

-- What was noted as delivered once is not looked at again, though nobody acknowledges it.
local function settle(id, epoch, delivered, acknowledged)
  local key = T .. 'session:' .. id
  local state, settled, endings = read_endings(key)
  local s = state and session_of_state(state)
  if not s or s.epoch ~= epoch then return end
  local forget, reached = {}, settled
  for _, ending in ipairs(endings) do
    if most == 0 then break end
    local offset, task = ending[1], ending[2]
    if offset <= acknowledged then
      note(task, true)
      forget[#forget + 1] = task
    elseif offset > settled and offset <= delivered then
      note(task, false)
    end
    if offset <= delivered then reached = math.max(reached, offset) end
  end
  if most > 0 then reached = math.max(settled, delivered) end
  if reached > settled then redis.call('HSET', key, 'settled', int(reached)) end
  if #forget == 0 then return end
  s.waiting = math.max(0, s.waiting - #forget)
  redis.call('HSET', key, 'state', packed_state(s))
  redis.call('HDEL', key, unpack(forget))
end

-- In each call:
local a = cmsgpack.unpack(ARGV[1])
T = '{' .. KEYS[1] .. '}:'
most = 500 -- in 3 ms
for i, one in ipairs(a.settled) do
  settle(unpack(one))
  if most <= 0 then return i - 1 end
end
return #a.settled
