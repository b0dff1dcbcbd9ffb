-- Seals tasks of a group into a set, if the group is ready. Go: aggregationCheckCmd.
--
-- KEYS[1]  group
-- KEYS[2]  the set to be made
-- KEYS[3]  aggregation_sets
-- KEYS[4]  groups
-- ARGV[1]  now in microseconds, or blank for the server's clock
-- ARGV[2]  most tasks in a set, 0 for no limit
-- ARGV[3]  longest delay in microseconds, or blank
-- ARGV[4]  grace period in microseconds
-- ARGV[5]  time to merge a set, in seconds
-- ARGV[6]  name of the group
--
-- Returns nothing if the group is not ready, otherwise the second the set goes back.

local now = now_micros(ARGV[1])
local max_size = tonumber(ARGV[2])
local err = first_wrong_type('ZCARD', KEYS[1], 'ZCARD', KEYS[3], 'SCARD', KEYS[4])
if err then
  return redis.error_reply(err)
end

local size = redis.call('ZCARD', KEYS[1])
if size == 0 then
  redis.call('SREM', KEYS[4], ARGV[6])
  return nil
end

-- Scores are whole seconds.
local function came_before(rank, micros)
  local score = redis.call('ZRANGE', KEYS[1], rank, rank, 'WITHSCORES')[2]
  return tonumber(score) * 1000000 <= now - tonumber(micros)
end

local is_full = max_size > 0 and size >= max_size
local is_ready = is_full or (ARGV[3] ~= '' and came_before(0, ARGV[3])) or came_before(-1, ARGV[4])
if not is_ready then
  return nil
end

if max_size == 0 or size <= max_size then
  redis.call('RENAME', KEYS[1], KEYS[2])
  redis.call('SREM', KEYS[4], ARGV[6])
else
  redis.call('ZRANGESTORE', KEYS[2], KEYS[1], 0, max_size - 1)
  redis.call('ZREMRANGEBYRANK', KEYS[1], 0, max_size - 1)
end
local deadline = whole(math.floor(now / 1000000) + tonumber(ARGV[5]))
redis.call('ZADD', KEYS[3], deadline, KEYS[2])
return deadline
