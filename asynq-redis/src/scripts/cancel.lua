-- Notes that a running task is to be cancelled, for a worker that was not listening. No Go counterpart.
--
-- KEYS[1]  hash of the task
--
-- Returns 1 if the task is running.

if redis.call('HGET', KEYS[1], 'state') ~= 'active' then
  return 0
end
redis.call('HSET', KEYS[1], 'cancel', 1)
return 1
