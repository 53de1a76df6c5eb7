#!lua flags=allow-oom
-- Leases of a deployment that are over. They stay until somebody finishes them, and come again after a while if nobody does.
-- KEYS[1] {dispatch}:workers   ARGV[1] callback prefix   ARGV[2] at most so many   ARGV[3] come again after, ms
-- result  msgpack {{task, attempt, home, context, worker}, …}
-- include dispatch

local leases, lapsed = D .. 'leases:' .. ARGV[1], {}
for _, task in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', int(now), 'LIMIT', 0, ARGV[2])) do
  local l = find(task)
  if l and (l.state == 'r' or l.state == 'p') then
    redis.call('ZADD', leases, int(now + tonumber(ARGV[3])), task)
    lapsed[#lapsed + 1] = { task, l.att, l.home, l.ctx, l.wkr }
  else
    redis.call('ZREM', leases, task)
  end
end
return cmsgpack.pack(lapsed)
