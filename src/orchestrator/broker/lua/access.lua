-- The cached answers of the access check (contract §6): hash `access`, field `@` the tenant's own answer, else
-- a context's; values {generation, expires, tier or '', limits} and {generation, expires,
-- granted, turn policy or '', most attempts or 0}.

local function generation(t) return redis.call('GET', t.T .. 'generation') or '0' end

-- nil: all asked and allowed, then the tenant's own limits and the first context's answer; 'ask': somebody has to ask the database; else the refusal's code and detail.
local function judge_access(t, tier, contexts)
  local current = generation(t)
  local known = redis.call('HMGET', t.T .. 'access', '@', unpack(contexts))
  local answers = {}
  for i = 1, #contexts + 1 do
    local answer = known[i] and cmsgpack.unpack(known[i])
    if not answer or answer[1] ~= current or answer[2] < now then return 'ask', current end
    answers[i] = answer
  end
  if answers[1][3] == '' then return 'access_denied', '@' end
  for i = 1, #contexts do
    if not answers[i + 1][3] then return 'access_denied', contexts[i] end
  end
  if tier and answers[1][3] ~= tier then return 'tier_mismatch', tier end
  return nil, nil, answers[1][4], answers[2]
end
