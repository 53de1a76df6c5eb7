-- Steps that the scripts of a tenant's slot share.
--
-- Moments are microseconds since 1970 by the server's clock, the only clock that decides anything.
-- A script works in two halves. First it reads: tasks and sessions are loaded into tables, and every
-- key that may be written is touched, so that WRONGTYPE, NOPERM and ASK are raised while nothing has
-- changed. Then `commit` writes the tables back. Lua does not roll back; this leaves nothing to.

local now, now_text

-- As a number, and as text.
local function moment()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2], t[1] .. ('000000'):sub(#t[2] + 1) .. t[2]
end

-- Whole numbers below 2^52 may be handed to Redis as they are; in a text, or beyond, they would get an exponent. It costs as much as
-- half a command.
local function int(x) return string.format('%.0f', x) end

local CHUNKS_MAX, TEXT_MAX, WAITING_KEPT, WAITING_MAX = 20000, 4 * 1024 * 1024, 1000, 1500
local PUBLISH_MAX, LIVE_ENTRY_MAX = 256 * 1024, 64 * 1024
local DEAD_MAX, DEAD_BYTES_MAX, DEAD_ENTRY_MAX, DEAD_KEPT = 1000, 4 * 1024 * 1024, 64 * 1024, 7 * 86400 * 1000000
local SOCKET_KEPT = 120 * 1000000
local STEPS = 4 / 0.6931471805599453 -- of latencies: four to a doubling
local PATIENCE = 10 * 1000000 -- after which a record counts as not pushed
local ENDED = { completed = true, failed = true, timeout = true, cancelled = true }

-- keep: how long things are kept (see Keeping in broker.py), with the seed of a new epoch.
local function open_tenant(queue, keep)
  return { queue = queue, T = '{' .. queue .. '}:', keep = keep, tasks = {}, sessions = {}, order = {}, counts = {}, running = 0, bytes = 0 }
end

local function touch_leases(t)
  if t.lives then return end
  redis.call('ZCARD', t.T .. 'leases')
  t.lives = {}
end

-- Every key of the tenant that `commit` may write but the dead letters, read once; a piece of text writes none of them but the leases.
local function touch_tenant(t)
  if t.open then return end
  t.stats_key = t.T .. 'stats:' .. math.floor(now / 600000000)
  local open = redis.call('ZCARD', t.T .. 'outstanding')
  t.unpushed = redis.call('ZCARD', t.T .. 'unpushed')
  touch_leases(t)
  local sums = redis.call('HMGET', t.T .. 'tenant', 'running', 'bytes')
  t.open_running, t.open_bytes = tonumber(sums[1] or 0), tonumber(sums[2] or 0)
  t.stats_new = redis.call('HLEN', t.stats_key) == 0
  t.sums_new = t.stats_new or not (sums[1] or sums[2]) -- so often their end is put off
  t.stats, t.ended, t.started, t.moves = {}, {}, {}, {}
  t.open = open
end

local function touch_dead(t)
  touch_tenant(t)
  if t.dead then return end
  local letters, bytes = redis.call('LLEN', t.T .. 'dead'), redis.call('HGET', t.T .. 'tenant', 'dead_bytes')
  t.dead, t.dead_bytes = {}, letters > 0 and tonumber(bytes or 0) or 0 -- the list ends before the sum does
end

local function count(t, what) t.counts[what] = (t.counts[what] or 0) + 1 end

local function bump(t, field, by) t.stats[field] = (t.stats[field] or 0) + (by or 1) end

-- In each call:
now, now_text = moment()
