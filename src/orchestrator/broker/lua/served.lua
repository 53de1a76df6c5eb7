#!lua library=dispatch flags=allow-oom
-- Which contexts have a live worker.
-- KEYS[1] {dispatch}:workers   ARGV contexts
-- result  msgpack {number of all live workers, {0 or 1 for each context}}

local function served(ctx)
  local key = D .. 'workers:' .. ctx
  for _ = 1, 50 do
    local worker = redis.call('SRANDMEMBER', key)
    if not worker then return 0 end
    if alive(worker) then return 1 end
    redis.call('SREM', key, worker)
  end
  return 0
end

-- In each call:
local answers = {}
for i, ctx in ipairs(ARGV) do answers[i] = served(ctx) end
return cmsgpack.pack({ redis.call('ZCOUNT', D .. 'workers', '(' .. int(now), '+inf'), answers })
