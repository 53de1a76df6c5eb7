#!lua flags=no-writes
-- A page of a session's log.
-- KEYS[1] callback queue   ARGV[1] msgpack {session, epoch, from: offset already seen, mark of that, or nothing}
-- result  {msgpack {outcome: read | gone (another epoch or entry, trimmed, or not told any more), top, reached, mark of that, offsets}, entry, …}

local a = cmsgpack.unpack(ARGV[1])
local t = open_tenant(KEYS[1], { seed = '' })
local s = load_session(t, a.session)
if s.epoch ~= a.epoch or not is_seen(s, a.from, a.mark) then
  return { cmsgpack.pack({ outcome = 'gone', top = s.top, reached = 0, mark = '0', offsets = {} }) }
end
local page, reached, mark, lost = read_page(t, s, a.from)
local reply = { '' }
reply[1] = cmsgpack.pack({ outcome = lost and 'gone' or 'read', top = s.top, reached = reached,
  mark = int(mark), offsets = add_page(reply, page) })
return reply
