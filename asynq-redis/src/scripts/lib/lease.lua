-- Leases. The score of a lease is the second it ends plus nonce / 2^20. The nonce is drawn when the task is taken out
-- and names that attempt. Go asynq writes whole seconds, which is nonce 0, and only compares scores with seconds.

local NONCES = 1048576

-- Go's recoverer gives its leases this many seconds of grace for clocks that differ.
local GO_GRACE = 30

local function nonce_of(score)
  return (score - math.floor(score)) * NONCES
end

local function lease_score(now, lease_micros, nonce)
  return string.format('%.17g', math.floor((now + lease_micros) / 1000000) + nonce / NONCES)
end

-- The second from which on somebody else may take the task.
local function expires_at(score)
  if score == math.floor(score) then
    return score + GO_GRACE
  end
  return score
end

local function has_expired(score, now)
  return now / 1000000 >= expires_at(score)
end

-- Whether the task is held under this nonce. Reads only.
local function is_held(lease_key, id, nonce)
  local score = redis.call('ZSCORE', lease_key, id)
  return score and nonce_of(tonumber(score)) == nonce, tonumber(score or 0)
end
