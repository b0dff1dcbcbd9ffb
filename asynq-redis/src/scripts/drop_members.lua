-- Takes tasks out of a sealed set that cannot be merged, and archives those that there are. No Go counterpart.
--
-- KEYS     the set, aggregation_sets, archived, processed, failed, processed of the day, failed of the day
-- ARGV[1]  now in microseconds, or blank for the server's clock
-- ARGV[2]  what the keys of the queue's tasks begin with
-- ARGV[3…] for each task: id, why it cannot be decoded, or blank if there is no task
--
-- Returns how many tasks are left in the set.

local now = now_micros(ARGV[1])
local err = first_wrong_type('ZCARD', KEYS[1], 'ZCARD', KEYS[2], 'ZCARD', KEYS[3])
if err then
  return redis.error_reply(err)
end

local archived = 0
for i = 3, #ARGV, 2 do
  local task_key = ARGV[2] .. ARGV[i]
  if redis.call('ZREM', KEYS[1], ARGV[i]) == 1 and ARGV[i + 1] ~= '' then
    redis.call('ZADD', KEYS[3], seconds(now), ARGV[i])
    redis.call('HSET', task_key, 'state', 'archived', 'asynq_error', ARGV[i + 1])
    archived = archived + 1
  end
end
count_attempts({KEYS[4], KEYS[5], KEYS[6], KEYS[7]}, archived, archived)

local left = redis.call('ZCARD', KEYS[1])
if left == 0 then
  redis.call('ZREM', KEYS[2], KEYS[1])
end
return left
