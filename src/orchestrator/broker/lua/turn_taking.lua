-- What a send needs whose policy is not `parallel`, made when it is needed: a script makes its functions anew in every
-- call, and most sends need none of these.

-- STOPS_MAX: so many tasks one message may take the place of: each costs what an ending costs. MERGED_BYTES_MAX: so much
-- of their payloads comes along where it is to be joined with them.
local LISTED_MAX, STOPS_MAX, MERGED_BYTES_MAX = 1000, 100, 1024 * 1024
local NO_TURN = { stop = {}, freed = 0 }

local function turn_taking()
-- here errands turns
  return { plan = plan_turn, is_joined = is_joined, waiting = waiting, make_room = make_room, hold = hold, forget_oldest = forget_oldest,
    commit_stops = commit_stops, waiting_for = WAITING_FOR }
end
