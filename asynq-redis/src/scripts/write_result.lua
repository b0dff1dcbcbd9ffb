-- Stores what a handler has to show so far, if its lease is still held. Go: WriteResult, which is a plain HSET and
-- makes a hash of a task that is gone.
--
-- KEYS[1]  lease
-- KEYS[2]  hash of the task
-- ARGV     id, nonce, result
--
-- Returns 1, or 0 if the lease is lost.

local err = wrong_type('ZCARD', KEYS[1]) or wrong_type('HLEN', KEYS[2])
if err then
  return redis.error_reply(err)
end
if not is_held(KEYS[1], ARGV[1], tonumber(ARGV[2])) or redis.call('HEXISTS', KEYS[2], 'msg') == 0 then
  return 0
end
redis.call('HSET', KEYS[2], 'result', ARGV[3])
return 1
