#!lua library=plain
-- Takes a ticket: a socket's use is its only one, a stream of events may come again with it.
-- KEYS[1] the ticket   KEYS[2] the same, once a stream came with it   ARGV[1] 'socket' | 'stream'
-- result  the ticket as it was issued, or false

if ARGV[1] == 'stream' then
  local again = redis.call('GET', KEYS[2])
  if again then return again end
end
local ticket = redis.call('GETDEL', KEYS[1])
if ticket and ARGV[1] == 'stream' then
  local ends = string.format('%.0f', cmsgpack.unpack(ticket).expires * 1000)
  redis.call('SET', KEYS[2], ticket, 'PXAT', ends)
end
return ticket
