-- About how many bytes a queue takes, from a sample of its tasks. Changes nothing. Go: memoryUsageCmd.
--
-- Unlike in Go, an id without a task counts as nothing instead of making the call fail.
--
-- KEYS     pending, active, scheduled, retry, archived, completed, groups
-- ARGV[1]  what the keys of the queue's tasks begin with
-- ARGV[2]  what the keys of its groups begin with
--
-- Returns the bytes.

local SAMPLE, GROUPS = 20, 5

local function size(command, key)
  local answer = redis.pcall(command, key)
  return type(answer) == 'number' and answer or 0
end

local function bytes_of(key)
  local answer = redis.pcall('MEMORY', 'USAGE', key)
  return type(answer) == 'number' and answer or 0
end

local function average(ids)
  local sum = 0
  for _, id in ipairs(ids) do
    sum = sum + bytes_of(ARGV[1] .. id)
  end
  return #ids > 0 and sum / #ids or 0
end

local total = 0
for i = 1, 6 do
  local is_list = i <= 2
  local count = size(is_list and 'LLEN' or 'ZCARD', KEYS[i])
  if count > 0 then
    local ids = redis.call(is_list and 'LRANGE' or 'ZRANGE', KEYS[i], 0, SAMPLE - 1)
    total = total + bytes_of(KEYS[i]) + count * average(ids)
  end
end

local names = redis.pcall('SRANDMEMBER', KEYS[7], GROUPS)
local grouped, sampled = 0, {}
for _, name in ipairs(names.err and {} or names) do
  local key = ARGV[2] .. name
  local count = size('ZCARD', key)
  grouped = grouped + count
  total = total + bytes_of(key)
  if count > 0 then
    for _, id in ipairs(redis.call('ZRANGE', key, 0, SAMPLE - 1)) do
      sampled[#sampled + 1] = id
    end
  end
end
-- The groups that were not looked at are as those that were.
local others = names.err and 1 or math.max(size('SCARD', KEYS[7]) / math.max(#names, 1), 1)
return math.floor(total + others * grouped * average(sampled))
