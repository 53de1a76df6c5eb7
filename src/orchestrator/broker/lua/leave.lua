#!lua library=dispatch flags=allow-oom
-- A worker goes. What it still has keeps its leases until they are over.
-- KEYS[1] {dispatch}:workers   ARGV[1] worker
-- result  number of its contexts that are left to take away: call again

local worker, serves = ARGV[1], D .. 'serves:' .. ARGV[1]
redis.call('ZREM', D .. 'workers', worker)
redis.call('SREM', D .. 'idle', worker)
-- It may have been woken: somebody else has to come.
local ctx = best(pool_of_worker(worker) or 'common', worker)
if ctx then wake(ctx) end
for _, served in ipairs(redis.call('SPOP', serves, 1000)) do redis.call('SREM', D .. 'workers:' .. served, worker) end
local left = redis.call('SCARD', serves)
if left == 0 then redis.call('UNLINK', D .. 'w:' .. worker, D .. 'wake:' .. worker) end
return left
