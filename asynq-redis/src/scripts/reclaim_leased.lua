-- Finds the tasks that a dequeue leased whose answer was lost, and leases them anew under a new nonce. No Go
-- counterpart: there they wait for their lease to expire and are charged with an attempt.
--
-- KEYS[1]  lease
-- ARGV[1]  now in microseconds, or blank for the server's clock
-- ARGV[2]  how many tasks at most
-- ARGV[3]  length of the lease in microseconds
-- ARGV[4]  nonce of that dequeue
-- ARGV[5]  nonce for the new leases
-- ARGV[6]  the second before which none of its leases can end
-- ARGV[7]  what the keys of the queue's tasks begin with
--
-- Returns the time, then id and message of each task in turn.

local now = now_micros(ARGV[1])
local limit = tonumber(ARGV[2])
local nonce = tonumber(ARGV[4])
local score = lease_score(now, tonumber(ARGV[3]), tonumber(ARGV[5]))
local PAGE = 500
local PAGES_AT_MOST = 10

local err = wrong_type('ZCARD', KEYS[1])
if err then
  return redis.error_reply(err)
end

-- A task that was started under this nonce has a holder: by chance another dequeue has drawn the same one.
local found = {}
local reply = {whole(now)}
for page = 0, PAGES_AT_MOST - 1 do
  local entries = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[6], '+inf', 'WITHSCORES', 'LIMIT', page * PAGE, PAGE)
  for i = 1, #entries, 2 do
    if #found < limit and nonce_of(tonumber(entries[i + 1])) == nonce then
      local task = redis.pcall('HMGET', ARGV[7] .. entries[i], 'msg', 'started')
      if not task.err and task[1] and not task[2] then
        found[#found + 1] = entries[i]
        reply[#reply + 1] = entries[i]
        reply[#reply + 1] = task[1]
      end
    end
  end
  if #entries < 2 * PAGE or #found >= limit then
    break
  end
end

for _, id in ipairs(found) do
  redis.call('ZREM', KEYS[1], id)
  redis.call('ZADD', KEYS[1], score, id)
end
return reply
