-- Tasks that wait for an agent while somebody may be watching: which of them are to be explained now, and when the next ones.
-- A task is looked at 3 s after it was accepted, then each 5 s, more and more seldom, up to 30 s: `told_at` of its record
-- is when that was last, `told_times` how often. tell.lua writes both.

local FIRST_TOLD, TOLD_EVERY, TOLD_SELDOM = 3000000, 5000000, 30000000
local TOLD_AT_ONCE, NEWEST = 20, 100
local WAITS = { accepted = true, queued = true, retrying = true }

local function next_telling(h)
  if not h.told_at then return tonumber(h.accepted_at) + FIRST_TOLD end
  return h.told_at + math.min(TOLD_SELDOM, TOLD_EVERY * 1.3 ^ (h.told_times - 1))
end

-- Held messages are told of by turns.lua.
local WAIT_FIELDS = { 'status', 'attempt', 'accepted_at', 'context', 'tier', 'queue', 'held', 'told_at', 'told_times' }

local function read_wait(t, id)
  local h = redis.call('HMGET', t.T .. 'task:' .. id, unpack(WAIT_FIELDS))
  local wait = { id = id }
  for i, name in ipairs(WAIT_FIELDS) do wait[name] = h[i] or nil end
  for _, name in ipairs({ 'attempt', 'told_at', 'told_times' }) do wait[name] = tonumber(wait[name]) end
  return WAITS[wait.status or ''] and (wait.held or '') == '' and wait or nil
end

-- Fills t.waits with those whose time has come, the oldest first, and gives the moment of the next look, or nil.
-- Looked at are the newest open tasks: who waits is among them.
local function list_waits(t)
  t.waits = {}
  if t.open <= t.open_running or redis.call('EXISTS', t.T .. 'sockets') == 0 then return nil end
  local soonest
  local newest = redis.call('ZREVRANGE', t.T .. 'outstanding', 0, NEWEST - 1)
  for i = #newest, 1, -1 do
    local readable, wait = pcall(read_wait, t, newest[i])
    if readable and wait then
      local moment = next_telling(wait)
      if moment <= now and #t.waits < TOLD_AT_ONCE then
        local due = tonumber(redis.call('ZSCORE', t.T .. 'unpushed', wait.id) or 0)
        t.waits[#t.waits + 1] = { wait.id, wait.attempt, wait.status, wait.context, wait.tier, wait.queue,
          now - wait.accepted_at, due > 0 and wait.attempt > 1 and due + PATIENCE - now or 0 }
        moment = now + TOLD_EVERY
      end
      soonest = math.min(soonest or moment, math.max(moment, now + 1000000))
    end
  end
  return soonest
end
