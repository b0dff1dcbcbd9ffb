-- Deletes tasks that have been kept long enough. Go: deleteExpiredCompletedTasksCmd, and the trimming in archiveCmd.
--
-- KEYS[1]  completed
-- KEYS[2]  archived
-- ARGV[1]  now in microseconds, or blank for the server's clock
-- ARGV[2]  how many at most, up to 500
-- ARGV[3]  what the keys of the queue's tasks begin with
--
-- Returns how many completed and how many archived tasks were deleted, and 1 if there may be more.

local now = now_micros(ARGV[1])
local limit = tonumber(ARGV[2])
local ARCHIVE_SECONDS = 7776000
local ARCHIVE_SIZE = 10000

local err = first_wrong_type('ZCARD', KEYS[1], 'ZCARD', KEYS[2])
if err then
  return redis.error_reply(err)
end

local function delete(set, ids)
  for _, id in ipairs(ids) do
    delete_task(ARGV[3] .. id, id)
  end
  if #ids > 0 then
    redis.call('ZREM', set, unpack(ids))
  end
  limit = limit - #ids
  return #ids
end

local function up_to(set, second)
  return redis.call('ZRANGEBYSCORE', set, '-inf', whole(second), 'LIMIT', 0, limit)
end

local second = math.floor(now / 1000000)
local completed = delete(KEYS[1], up_to(KEYS[1], second))
local archived = delete(KEYS[2], up_to(KEYS[2], second - ARCHIVE_SECONDS))
local surplus = math.min(redis.call('ZCARD', KEYS[2]) - ARCHIVE_SIZE, limit)
if surplus > 0 then
  archived = archived + delete(KEYS[2], redis.call('ZRANGE', KEYS[2], 0, surplus - 1))
end
return {completed, archived, limit <= 0 and 1 or 0}
