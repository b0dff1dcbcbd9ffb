-- Shows a server and its workers. Go: writeServerStateCmd.
--
-- KEYS     server, workers
-- ARGV[1]  how long, in seconds
-- ARGV[2]  what is shown of the server
-- ARGV[3…] for each worker: task id, what is shown of it
--
-- Returns OK.

local err = wrong_type('HLEN', KEYS[2])
if err then
  return redis.error_reply(err)
end
redis.call('SETEX', KEYS[1], ARGV[1], ARGV[2])
redis.call('DEL', KEYS[2])
for i = 3, #ARGV, 2 do
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
end
redis.call('EXPIRE', KEYS[2], ARGV[1])
return redis.status_reply('OK')
