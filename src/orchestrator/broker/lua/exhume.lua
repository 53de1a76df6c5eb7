#!lua library=plain flags=allow-oom
-- Takes letters out of a tenant's dead letters, and puts their callbacks on its queue again where that is asked.
-- KEYS[1] callback queue   ARGV[1] 1 to replay, 0 to purge   ARGV[2…] the letters as they lie in the list
-- result  for each how many copies were taken out: 0 where somebody else was faster, -1 where it was cut and stays

local dead, replay, bytes

-- The whole callback, or nothing where a part of it was kept.
local function callback_of(letter)
  local n = struct.unpack('>I2', letter)
  local callback = letter:sub(3 + n)
  if cmsgpack.unpack(letter:sub(3, 2 + n))[3] == #callback then return callback end
end

-- The newest are at the left of the queue: agents push there, and whoever delivers takes from the right.
local function exhume(letter)
  local callback = replay and callback_of(letter)
  if replay and not callback then return -1 end
  local copies = redis.call('LREM', dead, 0, letter)
  for _ = 1, replay and copies or 0 do redis.call('LPUSH', KEYS[1], callback) end
  bytes = bytes - copies * #letter
  return copies
end

-- In each call:
local T = '{' .. KEYS[1] .. '}:'
local tenant = T .. 'tenant'
dead = T .. 'dead'
replay = ARGV[1] == '1'
redis.call('LLEN', KEYS[1])
redis.call('LLEN', dead)
bytes = tonumber(redis.call('HGET', tenant, 'dead_bytes') or 0)
local done = {}
for i = 2, #ARGV do done[i - 1] = exhume(ARGV[i]) end
if redis.call('LLEN', dead) == 0 then
  redis.call('HDEL', tenant, 'dead_bytes')
elseif redis.call('HEXISTS', tenant, 'dead_bytes') == 1 then
  redis.call('HSET', tenant, 'dead_bytes', string.format('%.0f', math.max(0, bytes)))
end
return done
