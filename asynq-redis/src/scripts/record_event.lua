-- Notes what was enqueued for an entry of a scheduler. Go: recordSchedulerEnqueueEventCmd, which never forgets.
--
-- KEYS     history of the entry
-- ARGV[1]  when, in seconds
-- ARGV[2]  the event
-- ARGV[3]  how many events are kept
-- ARGV[4]  for how many seconds after the last
--
-- Returns OK.

local err = wrong_type('ZCARD', KEYS[1])
if err then
  return redis.error_reply(err)
end
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -tonumber(ARGV[3]) - 1)
redis.call('EXPIRE', KEYS[1], ARGV[4])
return redis.status_reply('OK')
