#!lua library=dispatch
-- Attempts wait on their queues: each gets its place in the fair order, and an idle worker is woken for it.
-- KEYS[1] {dispatch}:workers   ARGV[1] msgpack {{task, attempt, context, tier, home, weight, cap (0: none)}, …}
-- ARGV[2] 1: weight and cap are a guess, for a tenant of which nothing is known
-- result  number of attempts that have got a place
-- A repeat only tells weight and cap, which whoever adopted the attempt did not know. A later attempt ends what was known
-- of the earlier one. One whose lease is over gets its place back: a worker has claimed it and never taken it.

local new

local function is_repeat(before, att)
  if before.att ~= att then return before.att > att end
  if before.state == 'w' then return true end
  local ends = redis.call('ZSCORE', D .. 'leases:' .. prefix_of(before.home), before.task)
  return before.state ~= 'g' and tonumber(ends or 0) > now
end

local function note_share(home, weight, cap)
  local key = 'n:' .. home
  if ARGV[2] == '0' or redis.call('EXISTS', D .. key) == 0 then redis.call('HSET', D .. key, 'w', weight, 'cap', cap) end
  shares[home] = nil
  lasting[key] = DAY
end

local function enter(task, att, ctx, tier, home, weight, cap)
  note_share(home, weight, cap)
  local before = find(task)
  if before and is_repeat(before, att) then return end
  if before then
    redis.call('DEL', D .. 'l:' .. task)
    release(before)
    settle_all()
  end
  new = new + 1
  local queue, waits = 'q:' .. ctx .. ':' .. home, 'e:' .. ctx .. ':' .. tier
  redis.call('HSET', D .. 'l:' .. task, 'att', att, 'state', 'w', 'ctx', ctx, 'tier', tier, 'home', home)
  -- Who has waited before goes first.
  redis.call(att > 1 and 'LPUSH' or 'RPUSH', D .. queue, task .. ' ' .. int(att))
  redis.call('ZADD', D .. waits, now, task)
  redis.call('ZREMRANGEBYSCORE', D .. waits, '-inf', now - DAY * 1000)
  local homes = 'homes:' .. prefix_of(home)
  redis.call('ZADD', D .. homes, now, home)
  redis.call('ZREMRANGEBYSCORE', D .. homes, '-inf', now - DAY * 1000)
  for _, key in ipairs({ 'l:' .. task, queue, waits, homes }) do lasting[key] = DAY end
  if redis.call('SISMEMBER', D .. 'capped:' .. home, ctx) == 1 then return end
  offer(ctx, home)
  wake(ctx)
end

-- In each call:
new = 0
for _, entry in ipairs(cmsgpack.unpack(ARGV[1])) do enter(unpack(entry)) end
settle_all()
return new
