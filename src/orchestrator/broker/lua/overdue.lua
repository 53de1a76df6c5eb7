#!lua library=dispatch flags=allow-oom
-- Leases of a deployment that are over. They stay until somebody finishes them, and come again after a while if nobody does.
-- KEYS[1] {dispatch}:workers   ARGV[1] callback prefix   ARGV[2] at most so many   ARGV[3] come again after, ms
-- ARGV[4] gap: nobody has looked for longer than that, ms   ARGV[5] grace: then workers have so long to renew, ms
-- result  msgpack {{task, attempt, home, context, worker, when it comes again: see still_over.lua}, …}

-- Where Redis was away, leases ended that nobody could renew. So did those that really lapsed, which wait a little longer.
local function is_too_early(looked)
  local last, since = unpack(redis.call('HMGET', D .. looked, 'last', 'since'))
  if last and now - last > tonumber(ARGV[4]) then since = now end
  redis.call('HSET', D .. looked, 'last', now, 'since', since or 0)
  keep(looked)
  return now - (since or 0) < tonumber(ARGV[5])
end

-- In each call:
if is_too_early('looked:' .. ARGV[1]) then return cmsgpack.pack({}) end
local leases, lapsed = D .. 'leases:' .. ARGV[1], {}
local again = now + tonumber(ARGV[3])
for _, task in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, ARGV[2])) do
  local l = find(task)
  if l and (l.state == 'r' or l.state == 'p') then
    redis.call('ZADD', leases, int(again), task)
    lapsed[#lapsed + 1] = { task, l.att, l.home, l.ctx, l.wkr, again }
  else
    redis.call('ZREM', leases, task)
  end
end
return cmsgpack.pack(lapsed)
