-- The limits of a send (contract §7), measured together and spent together: by `spend` in the tables, from which the next
-- send of the same call is measured, and by `commit_limits` in Redis.

local MINUTE, HOUR = 60000000, 3600000000

-- A tenant's own limits, kept with its access answer, go before its tier's.
local function override(limits, own)
  if type(own) ~= 'table' then return limits end
  local per_minute = own.requests_per_minute
  if per_minute then
    limits.per_minute, limits.burst = per_minute, math.max(5, math.floor(per_minute / 10))
  end
  limits.max_outstanding = own.max_outstanding or limits.max_outstanding
  return limits
end

-- Sends of the session in the last hour, in buckets of up to a minute: field its first second, value count:last
-- moment. A bucket counts until its last send is an hour old, so no hour ever holds more than the limit.
local function measure_session(t, a)
  t.hours = t.hours or {}
  if t.hours[a.session] then return t.hours[a.session] end
  local key, limit = t.T .. 'rate:' .. a.session, a.session_limit
  local used, oldest, old, bucket = 0, nil, {}, nil
  local h = redis.call('HGETALL', key)
  for i = 1, #h, 2 do
    local sends, last = h[i + 1]:match('(%d+):(%d+)')
    last = tonumber(last)
    if last <= now - HOUR then
      old[#old + 1] = h[i]
    else
      used = used + tonumber(sends)
      if not oldest or last < oldest then oldest = last end
      if tonumber(h[i]) * 1000000 > now - MINUTE then bucket = { h[i], tonumber(sends) } end
    end
  end
  local hour = { key = key, bucket = bucket or { int(math.floor(now / 1000000)), 0 }, old = old, left = limit - used, limit = limit,
    reset = math.ceil(((oldest or now) + HOUR - now) / 1000000) }
  t.hours[a.session] = hour
  return hour
end

-- What the hash of the tenant says of its limits, and when tend.lua has looked last.
local function read_rate(t)
  local h = redis.call('HMGET', t.T .. 'tenant', 'arrival', 'bytes', 'tended')
  t.arrival, t.bytes_before, t.tended = tonumber(h[1] or 0), tonumber(h[2] or 0), h[3] or ''
  t.open_before, t.accepted = redis.call('ZCARD', t.T .. 'outstanding'), 0
end

-- GCRA: one number, the arrival time at which the bucket is full again. After a failover to a slower clock it
-- may lie far ahead, so it is held to now + a full burst. `accepted`: sends of this call that were.
local function measure_tenant(t, limits)
  local interval = MINUTE / limits.per_minute
  local full = limits.burst * interval
  local ahead = math.max(0, math.min(t.arrival - now, full))
  return { interval = interval, ahead = ahead, left = math.floor((full - ahead) / interval + 1e-6), limit = limits.per_minute,
    wait = math.max(0, ahead + interval - full) / 1000000 }
end

local function tell(state)
  local m, r = state.minute, state.hour
  state.told.t = { m.limit, math.max(0, m.left), math.ceil(m.ahead / 1000000) }
  if r then state.told.s = { r.limit, math.max(0, r.left), r.reset } end
end

-- room: the tasks that end by this send, and their bytes (see turns.lua).
-- A foreign session's hour is neither measured nor told: it would tell how busy its user is.
local function measure(t, a, limits, foreign, room, bytes)
  local state = { told = {}, minute = measure_tenant(t, limits) }
  if a.session_limit > 0 and not foreign then state.hour = measure_session(t, a) end
  tell(state)
  if state.hour and state.hour.left < 1 then
    state.refusal, state.told.detail, state.told.retry_after = 'rate_limited', 'session', state.hour.reset
  elseif state.minute.left < 1 then
    state.refusal, state.told.detail, state.told.retry_after = 'rate_limited', 'tenant', state.minute.wait
  elseif t.open_before + t.accepted - #room.stop >= limits.max_outstanding then
    state.refusal, state.told.detail, state.told.retry_after = 'queue_full', 'count', 1
  elseif t.bytes_before + t.bytes - room.freed + bytes > a.max_outstanding_bytes then
    state.refusal, state.told.detail, state.told.retry_after = 'queue_full', 'bytes', 1
  end
  return state
end

-- Whether somebody else owns the session. Who names nobody is let in.
local function is_foreign(s, user) return owner_of(s) ~= '' and user ~= '' and s.owner ~= user end

local function spend(t, state)
  local m, r = state.minute, state.hour
  m.ahead, m.left = m.ahead + m.interval, m.left - 1
  t.arrival, t.accepted = now + m.ahead, t.accepted + 1
  if r then
    r.bucket[2], r.left, r.spent = r.bucket[2] + 1, r.left - 1, true
  end
  tell(state)
end

-- The bytes of open tasks are of the same hash: written here, they are nothing to `commit`.
local function commit_limits(t)
  redis.call('HSET', t.T .. 'tenant', 'arrival', int(t.arrival), 'bytes', t.bytes_before + t.bytes)
  if t.sums_new then redis.call('EXPIRE', t.T .. 'tenant', 14 * 86400) end
  t.bytes = 0
  for _, r in pairs(t.hours or {}) do
    if r.spent then
      if #r.old > 0 then redis.call('HDEL', r.key, unpack(r.old)) end
      -- A bucket is begun for a minute at most and counts for an hour after.
      local begun = redis.call('HSET', r.key, r.bucket[1], int(r.bucket[2]) .. ':' .. now_text)
      if begun == 1 then redis.call('EXPIRE', r.key, 3700) end
    end
  end
end
