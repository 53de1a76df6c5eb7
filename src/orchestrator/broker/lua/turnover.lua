#!lua library=dispatch flags=allow-oom
-- What happened to queues of late, as the reports of agents told it: how many tasks were begun, which are running, which no more.
-- KEYS[1] {dispatch}:workers
-- ARGV[1] msgpack {{context, tier, number begun, {{task, until when it may run at the latest (µs)}, …}, {task that runs no more, …}}, …}
-- result  nil. A repeat counts what was begun twice.

local HOUR = 3600

local function note(ctx, tier, begun, runs, over)
  local place = ctx .. ':' .. tier
  if begun > 0 then
    local n = starts_of(place) + begun
    redis.call('HSET', D .. 's:' .. place, 'n', n, 'at', now)
    redis.call('HSET', D .. 'c:' .. ctx, 'started', int(now))
    keep('s:' .. place, HOUR)
    keep('c:' .. ctx)
  end
  for _, run in ipairs(runs) do
    local key = 'runs:' .. place
    redis.call('ZADD', D .. key, int(run[2] / 1000), run[1])
    keep(key)
  end
  for _, task in ipairs(over) do redis.call('ZREM', D .. 'runs:' .. place, task) end
  redis.call('ZREMRANGEBYSCORE', D .. 'runs:' .. place, '-inf', int(now))
end

-- In each call:
for _, entry in ipairs(cmsgpack.unpack(ARGV[1])) do note(unpack(entry)) end
return false
