-- The front of each library. A library is loaded once, and calls run what that made: whatever a call changes, it makes anew
-- in the part of a file below `In each call`.

local register = redis.register_function

-- While a library is loaded Redis offers none of these; the first call finds them. A local is found faster than a global.
local function offered()
  return redis, cjson, cmsgpack, struct, math, string, table, ipairs, next, pairs, pcall, tonumber, tostring, type, unpack
end

local redis, cjson, cmsgpack, struct, math, string, table, ipairs, next, pairs, pcall, tonumber, tostring, type, unpack
local KEYS, ARGV

-- In each call:
if not redis then
  redis, cjson, cmsgpack, struct, math, string, table, ipairs, next, pairs, pcall, tonumber, tostring, type, unpack = offered()
end
KEYS, ARGV = KEYS_NOW, ARGV_NOW
