-- Shows the entries of a scheduler. Go: writeSchedulerEntriesCmd.
--
-- KEYS     entries
-- ARGV[1]  how long, in seconds
-- ARGV[2…] what is shown of each entry
--
-- Returns OK.

local err = wrong_type('LLEN', KEYS[1])
if err then
  return redis.error_reply(err)
end
redis.call('DEL', KEYS[1])
for i = 2, #ARGV do
  redis.call('LPUSH', KEYS[1], ARGV[i])
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return redis.status_reply('OK')
