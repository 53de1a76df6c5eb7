#!lua library=plain flags=no-writes
-- Which commands the caller may not send; none of them is done.
-- KEYS[1] any key   ARGV[1] msgpack {{command, argument, …}, …}
-- result  msgpack {number of each that is refused, …}

local refused = {}
for i, words in ipairs(cmsgpack.unpack(ARGV[1])) do
  if not redis.acl_check_cmd(unpack(words)) then refused[#refused + 1] = i end
end
return cmsgpack.pack(refused)
