#!lua flags=allow-oom
-- A person answers what an agent has asked. The same answer again is the same answer; to another one nobody listens any more.
-- KEYS[1] callback queue
-- ARGV[1] msgpack {keep…, task, user, session: the only one it may be of, or '', question}
-- ARGV[2] the answer, JSON in its one canonical spelling
-- result  msgpack {outcome: answered | repeated | not_waiting | not_found, due: when to look at the tenant (µs)}

local t

local function reply(outcome) return cmsgpack.pack({ outcome = outcome, due = t.due or 0 }) end

-- In each call:
local a = cmsgpack.unpack(ARGV[1])
t = open_tenant(KEYS[1], a)
local task = load_task(t, a.task)
if not task then return reply('not_found') end
local s = session_of(t, task)
local foreign = a.user ~= '' and owner_of(s) ~= '' and s.owner ~= a.user
if foreign or (a.session ~= '' and a.session ~= task.session) then return reply('not_found') end
local settled = answer_to(t, task, a.question)
if settled then
  local same = '{"answer":' .. ARGV[2] .. ',"deadline":"'
  return reply(settled:sub(1, #same) == same and 'repeated' or 'not_waiting')
end
if not is_open(task, a.question) then return reply('not_waiting') end
touch_tenant(t)
close_question(t, s, task, ARGV[2])
commit(t)
publish(t)
return reply('answered')
