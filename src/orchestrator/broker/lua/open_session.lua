#!lua flags=allow-oom
-- A socket comes to a session: may it, where does the log stand, can its position be honoured; with the first page.
-- KEYS[1] callback queue
-- ARGV[1] msgpack {keep…, session, user, tier, validate, resume: 'live' | 'earliest' | 'at', epoch, offset, mark,
--         replica, sockets: the tenant's on this replica with this one, sockets_max, sockets_ttl s}
-- result  {msgpack {outcome: opened | session_denied | ask | access_denied | tier_mismatch | too_many_connections, detail, epoch, top, mark,
--         recovered, from, from_mark, reached, reached_mark, limits: the tenant's own, waits: tasks of the tenant wait, offsets}, entry, …}

local function honoured(s, a)
  if a.resume == 'live' then return true, s.top end
  if a.resume == 'earliest' then return true, s.top - s.len end
  if a.epoch == s.epoch and is_seen(s, a.offset, a.mark) then return true, a.offset end
  return false, s.top
end

-- In each call:
local a = cmsgpack.unpack(ARGV[1])
local t = open_tenant(KEYS[1], a)
local most, limits = a.sockets_max, nil
if a.validate then
  local verdict, detail, own = judge_access(t, a.tier, {})
  if verdict then return { cmsgpack.pack({ outcome = verdict, detail = detail }) } end
  limits = type(own) == 'table' and next(own) and own or nil
  most = limits and limits.max_connections or most
end

if sockets_of_others(t, a.replica) + a.sockets > most then return { cmsgpack.pack({ outcome = 'too_many_connections' }) } end
local s = load_session(t, a.session)
if a.user ~= '' then
  if owner_of(s) ~= '' and s.owner ~= a.user then return { cmsgpack.pack({ outcome = 'session_denied' }) } end
  s.dirty, s.owner = s.owner ~= a.user, a.user
end

-- Kept until it is looked at again, also where logs are kept for seconds only.
amend(s, 'keep', math.max(s.keep, now + SOCKET_KEPT - t.keep.log_ttl))
commit(t)
note_sockets(t, a.replica, a.sockets, a.sockets_ttl)
local recovered, from = honoured(s, a)
local page, reached, mark, lost = {}, s.top, s.mark, nil
if recovered and from < s.top then page, reached, mark, lost = read_page(t, s, from) end
-- "All that is kept" begins behind what cannot be told any more; a position before it cannot be honoured.
while lost and a.resume == 'earliest' do
  from = lost
  page, reached, mark, lost = read_page(t, s, from)
end
if lost or not recovered then recovered, page, from, reached, mark = false, {}, s.top, s.top, s.mark end
local start_mark = from == s.top and s.mark or a.mark
local running = tonumber(redis.call('HGET', t.T .. 'tenant', 'running') or 0)
local waits = redis.call('ZCARD', t.T .. 'outstanding') > running
local reply = { '' }
reply[1] = cmsgpack.pack({ outcome = 'opened', epoch = s.epoch, top = s.top, mark = int(s.mark), recovered = recovered, from = from,
  from_mark = int(start_mark), reached = reached, reached_mark = int(mark), limits = limits, waits = waits, offsets = add_page(reply, page) })
return reply
