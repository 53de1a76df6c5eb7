#!lua library=dispatch flags=allow-oom
-- A run waits for a human, or goes on: meanwhile it holds no place and is not charged; its lease goes on.
-- KEYS[1] {dispatch}:workers   ARGV[1] task   ARGV[2] attempt   ARGV[3] 1: waits, 0: goes on
-- result  1, or 0 where it was so already or the attempt does not run

local l = find(ARGV[1])
local waits = ARGV[3] == '1'
if not l or l.att ~= tonumber(ARGV[2]) or l.state ~= (waits and 'r' or 'p') then return 0 end
local key, run = D .. 'l:' .. l.task, D .. 'run:' .. l.home
if waits then
  redis.call('HSET', key, 'state', 'p', 'away', now)
  redis.call('ZREM', run, l.task)
  uncap(l.home)
else
  -- The run is as if it had begun later. It takes its place back even where others have taken all of them.
  redis.call('HSET', key, 'state', 'r', 'start', l.start + now - l.away)
  redis.call('HDEL', key, 'away')
  l.state = 'r'
  hold(l, redis.call('ZSCORE', D .. 'leases:' .. prefix_of(l.home), l.task) or now)
end
settle_all()
return 1
