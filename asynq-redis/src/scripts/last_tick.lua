-- The last tick of an entry; one that is not known yet is noted as of a given time. No Go counterpart.
--
-- KEYS[1]  last tick of the entry
-- ARGV[1]  the time in microseconds
-- ARGV[2]  how many seconds it is kept
--
-- Returns the last tick in microseconds.

local err = wrong_type('GET', KEYS[1])
if err then
  return redis.error_reply(err)
end
local last = redis.call('GET', KEYS[1])
if not last or not tonumber(last) then
  last = ARGV[1]
end
redis.call('SET', KEYS[1], last, 'EX', ARGV[2])
return last
