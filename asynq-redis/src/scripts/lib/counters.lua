-- The counters of attempts and failures, in total and by day.

-- Go compares as doubles, so that totals this close to the end of 64 bits count as being at the end.
local MAX_TOTAL = 9223372036854775807
local NEAR_MAX_TOTAL = 9223372036854000000
local DAY_KEY_SECONDS = 7776000

-- Adds to a counter and gives the sum, or nil if the key cannot be counted with.
local function add(key, count)
  local sum = redis.pcall('INCRBY', key, count)
  return type(sum) == 'number' and sum or nil
end

local function add_on_day(key, count)
  local sum = add(key, count)
  if sum == count then
    redis.call('EXPIRE', key, DAY_KEY_SECONDS)
  end
  return sum
end

-- Go starts again at 1 after the last number, with the failures too when a failure comes last.
local function wrap_one(processed_key, failed_key, is_failure)
  if tonumber(redis.call('GET', processed_key)) == MAX_TOTAL then
    redis.call('SET', processed_key, 1)
    if is_failure then
      redis.call('SET', failed_key, 1)
    end
    return true
  end
  redis.call('INCR', processed_key)
  return not is_failure or add(failed_key, 1)
end

local function add_in_total(processed_key, failed_key, processed, failed)
  local sum = add(processed_key, processed)
  if sum and sum < NEAR_MAX_TOTAL then
    return failed == 0 or add(failed_key, failed)
  end
  local total = redis.pcall('GET', processed_key)
  if type(total) ~= 'string' or not tonumber(total) then
    return false
  end
  if sum then
    redis.call('DECRBY', processed_key, processed)
  end
  local is_counted = true
  for i = 1, processed do
    is_counted = wrap_one(processed_key, failed_key, i > processed - failed) and is_counted
  end
  return is_counted
end

-- Adds attempts, of which some failed. Says false if a counter is not a number; the others are counted.
-- keys: processed, failed, processed of the day, failed of the day.
local function count_attempts(keys, processed, failed)
  if processed == 0 then
    return true
  end
  local on_day = add_on_day(keys[3], processed)
  local failed_on_day = failed == 0 or add_on_day(keys[4], failed)
  local in_total = add_in_total(keys[1], keys[2], processed, failed)
  return on_day and failed_on_day and in_total
end
