#!lua library=plain
-- Puts attempts of tasks on their queue, each once, however often it is called, and ends earlier attempts.
-- KEYS[1] execution queue   ARGV for each attempt six: task, attempt, payload, life of the marker in ms, left or right (it is taken
--         next), earlier attempt that must not be taken any more (0: none)
-- result  for each 'pushed' | 'already' | 'void' (withdrawn before)
-- The marker beside the queue outlives the deadline: while a repeat is possible, it is known. It is the payload, by which
-- take.lua finds the element; then 'taken', or 'void' where nobody may have it.

local function push(task, attempt, payload, life, side, old)
  local marker = '{' .. KEYS[1] .. '}:t:' .. task .. ':'
  if old ~= '0' then
    local earlier = redis.call('GET', marker .. old)
    redis.call('SET', marker .. old, 'void', 'PX', life)
    if earlier then redis.call('LREM', KEYS[1], -1, earlier) end
  end
  if redis.call('SET', marker .. attempt, payload, 'NX', 'PX', life) then
    redis.call(side == 'right' and 'RPUSH' or 'LPUSH', KEYS[1], payload)
    return 'pushed'
  end
  return redis.call('GET', marker .. attempt) == 'void' and 'void' or 'already'
end

-- In each call:
redis.call('LLEN', KEYS[1])
local told = {}
for i = 1, #ARGV, 6 do told[#told + 1] = push(unpack(ARGV, i, i + 5)) end
return told
