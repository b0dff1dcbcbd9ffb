-- One task. Changes nothing. Go: getTaskInfoCmd.
--
-- KEYS     hash of the task, scheduled, retry, lease
-- ARGV     now in microseconds or blank, id
--
-- Returns nothing if there is none, otherwise id, state, message, result, when it runs next, 1 if its lease has expired.

local err = first_wrong_type('ZCARD', KEYS[2], 'ZCARD', KEYS[3], 'ZCARD', KEYS[4])
if err then
  return redis.error_reply(err)
end
local reply = {}
describe(reply, KEYS[1], ARGV[2], {scheduled = KEYS[2], retry = KEYS[3], lease = KEYS[4]}, now_micros(ARGV[1]))
return reply
