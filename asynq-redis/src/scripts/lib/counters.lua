-- The counters of attempts and failures, in total and by day.

-- Go compares as doubles, so that totals this close to the end of 64 bits count as being at the end.
local MAX_TOTAL = 9223372036854775807
local NEAR_MAX_TOTAL = 9223372036854000000
local DAY_KEY_SECONDS = 7776000

local function is_counter(key)
  local value = redis.pcall('GET', key)
  return not value or (type(value) == 'string' and tonumber(value) ~= nil)
end

local function add_on_day(key, count)
  if count > 0 and redis.call('INCRBY', key, count) == count then
    redis.call('EXPIRE', key, DAY_KEY_SECONDS)
  end
end

-- Go starts again at 1 after the last number, with the failures too when a failure comes last.
local function wrap_one(processed_key, failed_key, is_failure)
  if tonumber(redis.call('GET', processed_key) or 0) == MAX_TOTAL then
    redis.call('SET', processed_key, 1)
    if is_failure then
      redis.call('SET', failed_key, 1)
    end
  else
    redis.call('INCR', processed_key)
    if is_failure then
      redis.call('INCR', failed_key)
    end
  end
end

-- Adds attempts, of which some failed. Says false if a counter is not a number; then nothing is counted.
-- keys: processed, failed, processed of the day, failed of the day.
local function count_attempts(keys, processed, failed)
  if processed == 0 then
    return true
  end
  for i = 1, 4 do
    if not is_counter(keys[i]) then
      return false
    end
  end
  add_on_day(keys[3], processed)
  add_on_day(keys[4], failed)
  if tonumber(redis.call('GET', keys[1]) or 0) < NEAR_MAX_TOTAL then
    redis.call('INCRBY', keys[1], processed)
    if failed > 0 then
      redis.call('INCRBY', keys[2], failed)
    end
  else
    for i = 1, processed do
      wrap_one(keys[1], keys[2], i > processed - failed)
    end
  end
  return true
end
