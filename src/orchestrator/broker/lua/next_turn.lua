#!lua flags=allow-oom
-- Lets the held message go that a session accepted first, unless one of its messages is active. Idempotent.
-- KEYS[1] callback queue   ARGV[1] msgpack {keep…, session}
-- result  {msgpack {released: task or '', errands: see errands.lua}, payload of each errand, …}

-- The first held task where nothing is active, and how many are held.
local function turn_of(open)
  local first, held, active = nil, 0, false
  for _, task in ipairs(open) do
    if is_held(task) then
      first, held = first or task, held + 1
    else
      active = true
    end
  end
  return not active and first or nil, held
end

-- In each call:
local a = cmsgpack.unpack(ARGV[1])
local t = open_tenant(KEYS[1], a)
local first, held = turn_of(open_tasks(t, a.session))
if held > 0 then
  touch_tenant(t)
  local s = first and session_of(t, first) or load_session(t, a.session)
  -- A session that was lost forgot how many it holds.
  if s.held ~= held then s.dirty = true end
  amend(s, 'held', held)
  if first then
    unhold(t, s, first)
    append_update(t, s, first, 'queued', '')
  end
  commit(t)
  if first then
    keep_score(t, 'unpushed', now - PATIENCE, first)
    list_due_pushes(t)
    publish(t)
  end
end
return with_errands(t, { released = first and first.id or '' })
