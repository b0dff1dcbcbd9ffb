-- Reads a page of the tasks of a sealed set, oldest first. Changes nothing. Go: readAggregationSetCmd.
--
-- KEYS[1]  the set
-- ARGV     first rank, last rank, what the keys of the queue's tasks begin with
--
-- Returns id and message of each task in turn; nil for a message that is not there.

local reply = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[2])) do
  local message = redis.pcall('HGET', ARGV[3] .. id, 'msg')
  reply[#reply + 1] = id
  reply[#reply + 1] = type(message) == 'string' and message
end
return reply
