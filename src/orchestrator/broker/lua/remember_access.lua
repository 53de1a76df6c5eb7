#!lua
-- Keeps answers of the database, unless the tenant's records changed since the question was put.
-- KEYS[1] callback queue
-- ARGV[1] msgpack {generation as read before the question, ttl µs, tier or '', limits, contexts {{id, granted, turn policy or '',
--         most attempts or 0}, …}}
-- result  1 kept, 0 void

local args = cmsgpack.unpack(ARGV[1])
local t = { T = '{' .. KEYS[1] .. '}:' }
if generation(t) ~= args.generation then return 0 end
local key, expires = t.T .. 'access', now + args.ttl
-- Somebody who tries names must not fill the memory: a full cache begins anew.
if redis.call('HLEN', key) > 1000 then redis.call('DEL', key) end
redis.call('HSET', key, '@', cmsgpack.pack({ args.generation, expires, args.tier, args.limits }))
for _, context in ipairs(args.contexts) do
  redis.call('HSET', key, context[1], cmsgpack.pack({ args.generation, expires, context[2], context[3], context[4] }))
end
redis.call('PEXPIRE', key, int(args.ttl / 1000))
return 1
