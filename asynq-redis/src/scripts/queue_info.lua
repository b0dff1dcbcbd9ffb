-- How a queue is doing. Changes nothing. Go: currentStatsCmd.
--
-- KEYS     pending, active, scheduled, retry, archived, completed, processed of the day, failed of the day, processed,
--          failed, paused, groups
-- ARGV[1]  now in microseconds, or blank for the server's clock
-- ARGV[2]  what the keys of the queue's tasks begin with
-- ARGV[3]  what the keys of its groups begin with
--
-- Returns the time, six sizes, four counters, 1 if it is paused, the number of groups, of tasks in them, and since when
-- the next task is pending in nanoseconds, or blank.

local now = now_micros(ARGV[1])
local GROUPS_AT_MOST = 5000

local function size(command, key)
  local answer = redis.pcall(command, key)
  return type(answer) == 'number' and answer or 0
end

-- As text: Lua's numbers end at 2^53.
local function counter(key)
  local value = redis.pcall('GET', key)
  return type(value) == 'string' and tonumber(value) and value or '0'
end

local function pending_since()
  local next_id = redis.pcall('LINDEX', KEYS[1], -1)
  if type(next_id) ~= 'string' then
    return ''
  end
  local since = redis.pcall('HGET', ARGV[2] .. next_id, 'pending_since')
  return type(since) == 'string' and tonumber(since) and since or ''
end

local aggregating = 0
if size('SCARD', KEYS[12]) <= GROUPS_AT_MOST then
  local groups = redis.pcall('SMEMBERS', KEYS[12])
  for _, group in ipairs(groups.err and {} or groups) do
    aggregating = aggregating + size('ZCARD', ARGV[3] .. group)
  end
end

return {
  whole(now), size('LLEN', KEYS[1]), size('LLEN', KEYS[2]), size('ZCARD', KEYS[3]), size('ZCARD', KEYS[4]),
  size('ZCARD', KEYS[5]), size('ZCARD', KEYS[6]), counter(KEYS[7]), counter(KEYS[8]), counter(KEYS[9]), counter(KEYS[10]),
  redis.call('EXISTS', KEYS[11]), size('SCARD', KEYS[12]), aggregating, pending_since(),
}
