#!lua flags=no-writes
-- A tenant's figures: what is open, and sums of the ten-minute buckets of the last hour and the last day.
-- KEYS[1] callback queue
-- result  msgpack {outstanding, running, bytes, callbacks, dead, hour {{field, n}, …}, day {{field, n}, …}}

-- With those of all agents, as `tasks|<status>`.
local function pairs_of(sums)
  local list, tasks = {}, {}
  for field, n in pairs(sums) do
    list[#list + 1] = { field, n }
    local status = field:match('^agent|.*|(.*)$')
    if status then tasks[status] = (tasks[status] or 0) + n end
  end
  for status, n in pairs(tasks) do list[#list + 1] = { 'tasks|' .. status, n } end
  return list
end

-- In each call:
local t = open_tenant(KEYS[1], {})
local this = math.floor(now / 600000000)
local hour, day = {}, {}
for back = 0, 143 do
  local h = redis.call('HGETALL', t.T .. 'stats:' .. int(this - back))
  for i = 1, #h, 2 do
    local n = tonumber(h[i + 1])
    day[h[i]] = (day[h[i]] or 0) + n
    if back < 6 then hour[h[i]] = (hour[h[i]] or 0) + n end
  end
end
local h = redis.call('HMGET', t.T .. 'tenant', 'running', 'bytes')
return cmsgpack.pack({ outstanding = redis.call('ZCARD', t.T .. 'outstanding'), running = tonumber(h[1] or 0), bytes = tonumber(h[2] or 0),
  callbacks = redis.call('LLEN', KEYS[1]), dead = redis.call('LLEN', t.T .. 'dead'), hour = pairs_of(hour), day = pairs_of(day) })
