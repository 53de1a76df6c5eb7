#!lua library=callbacks flags=allow-oom
-- One callback of over 40 KiB, read by Python because cjson would hold the server too long.
-- KEYS[1] callback queue
-- ARGV[1] msgpack {keep…, envelope {…} or nothing: no JSON object, verdict: '', a dead letter's reason, or
--         'result_too_large': end the task so, size, digest: SHA-1, places: where the pieces lie}
-- ARGV[2…] pieces of the callback as it was read from the tail; another element there: nothing is done
-- result  as a queue's of deliver.lua; stop = 'moved' where the tail is another element

local args = cmsgpack.unpack(ARGV[1])
local t = open_tenant(KEYS[1], args)

local raw = seen_at_tail(t, args)
if not raw then return { outcome(t, 0, 'moved') } end
touch_tenant(t)
if args.verdict == '' or args.verdict == 'result_too_large' then
  args.envelope.question = question_name(args.envelope.question)
  local ok, err = pcall(take, t, raw, args.envelope, args.verdict)
  if not ok then return { outcome(t, 0, 'error', type(err) == 'table' and err.err or tostring(err)) } end
else
  bury(t, raw, args.verdict)
end
commit(t)
redis.call('LTRIM', KEYS[1], 0, -2) -- an RPOP would hand it over once more
publish(t)
return { outcome(t, 1) }
