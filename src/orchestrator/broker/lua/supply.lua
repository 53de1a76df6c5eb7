-- What is known of the agents of a queue, whose name here is <context>:<tier>; goes behind dispatch.lua.
-- Of workers of the SDK the dispatch knows it itself; of other agents the service tells what their reports told (turnover.lua).

local TIERS = { 'free', 'advance', 'professional', 'enterprise' }
local PACE_MS = 60000
local WORKERS_MAX = 200

-- Of more workers than that the others are taken to be alike.
local function workers_of(ctx)
  local key = D .. 'workers:' .. ctx
  local all = redis.call('SCARD', key)
  local asked, live, slots, idle = math.min(all, WORKERS_MAX), 0, 0, false
  for _, worker in ipairs(redis.call('SRANDMEMBER', key, asked)) do
    if alive(worker) then
      live = live + 1
      slots = slots + tonumber(redis.call('HGET', D .. 'w:' .. worker, 'slots') or 0)
      idle = idle or redis.call('SISMEMBER', D .. 'idle', worker) == 1
    end
  end
  local more = asked > 0 and all / asked or 1
  return math.ceil(live * more), math.ceil(slots * more), idle
end

local function runs_of(place) return redis.call('ZCOUNT', D .. 'runs:' .. place, '(' .. int(now), '+inf') end

-- How many were begun of late: each counts for e^(-age / 60 s).
local function starts_of(place)
  local s = redis.call('HMGET', D .. 's:' .. place, 'n', 'at')
  return s[1] and s[1] * math.exp(-math.max(0, now - s[2]) / PACE_MS) or 0
end

local contexts, places

local function context_supply(ctx)
  if contexts[ctx] then return contexts[ctx] end
  local workers, slots, idle = workers_of(ctx)
  local c = redis.call('HMGET', D .. 'c:' .. ctx, 'avg', 'dev', 'started')
  local running = 0
  for _, tier in ipairs(TIERS) do running = running + runs_of(ctx .. ':' .. tier) end
  contexts[ctx] = { workers = workers, slots = slots, idle = idle, run_seconds = tonumber(c[1]), deviation = tonumber(c[2] or 0),
    silence_seconds = c[3] and math.max(0, now - c[3]) / 1000 or nil, context_running = running }
  return contexts[ctx]
end

local function supply(ctx, tier)
  local place, told = ctx .. ':' .. tier, {}
  if places[place] then return places[place] end
  places[place] = told
  for name, value in pairs(context_supply(ctx)) do told[name] = value end
  told.starts, told.running, told.waiting = starts_of(place), runs_of(place), redis.call('ZCARD', D .. 'e:' .. place)
  return told
end

-- In each call:
contexts, places = {}, {}
