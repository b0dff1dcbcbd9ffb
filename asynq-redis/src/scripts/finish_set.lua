-- Stores the merged task of a sealed set and deletes the tasks in the set. Go: DeleteAggregationSet, after an enqueue that
-- is a step of its own.
--
-- KEYS[1]  the set
-- KEYS[2]  aggregation_sets
-- KEYS[3]  pending
-- KEYS[4]  scheduled
-- KEYS[5]  groups
-- KEYS[6…] hash of the merged task, its lock if it is unique, its group if it has one
-- ARGV[1]  now in microseconds, or blank for the server's clock
-- ARGV[2]  what the keys of the queue's tasks begin with
-- ARGV[3…] as for one task in enqueue.lua: id, message, when, unique TTL, group
--
-- Returns the time, 1 if tasks of the set are left to be deleted, then the two values of enqueue.lua, or none if the set
-- is not there (any more).

local now = now_micros(ARGV[1])
local err = first_wrong_type('ZCARD', KEYS[1], 'ZCARD', KEYS[2], 'LLEN', KEYS[3], 'ZCARD', KEYS[4], 'SCARD', KEYS[5])
local task = read_task(3, 6, now)
err = err or wrong_group(task)
if err then
  return redis.error_reply(err)
end

local score = redis.call('ZSCORE', KEYS[2], KEYS[1])
if not score or string.find(score, 'inf') or redis.call('EXISTS', KEYS[1]) == 0 then
  return {whole(now), 0}
end

local code, detail = insert({pending = KEYS[3], scheduled = KEYS[4], groups = KEYS[5]}, task, now)
if code <= 0 then
  return {whole(now), 0, code, detail}
end
redis.call('ZADD', KEYS[2], '+inf', KEYS[1])
local has_more = delete_members(KEYS[1], KEYS[2], ARGV[2])
return {whole(now), has_more and 1 or 0, code, detail}
