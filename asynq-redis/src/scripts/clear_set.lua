-- Goes on with deleting the tasks of finished sets. Go: deleteAggregationSetCmd, which takes all at once.
--
-- KEYS[1]  aggregation_sets
-- ARGV[1]  what the keys of the queue's tasks begin with
--
-- Returns 1 if there may be more to delete.

local err = wrong_type('ZCARD', KEYS[1])
if err then
  return redis.error_reply(err)
end
local finished = redis.call('ZRANGEBYSCORE', KEYS[1], '+inf', '+inf', 'LIMIT', 0, 1)
if #finished == 0 then
  return 0
end
if wrong_type('ZCARD', finished[1]) then
  redis.call('ZREM', KEYS[1], finished[1])
else
  delete_members(finished[1], KEYS[1], ARGV[1])
end
return 1
