-- Finds the tasks that dequeues leased whose answers were lost, and leases them anew under a new nonce. No Go
-- counterpart: there they wait for their lease to expire and are charged with an attempt.
--
-- KEYS[1]  lease
-- ARGV[1]  now in microseconds, or blank for the server's clock
-- ARGV[2]  how many tasks at most
-- ARGV[3]  length of the lease in microseconds
-- ARGV[4]  nonce for the new leases
-- ARGV[5]  the second before which none of their leases can end
-- ARGV[6]  what the keys of the queue's tasks begin with
-- ARGV[7…] nonces of those dequeues
--
-- Returns the time, then id and message of each task in turn.

local now = now_micros(ARGV[1])
local limit = tonumber(ARGV[2])
local score = lease_score(now, tonumber(ARGV[3]), tonumber(ARGV[4]))
local is_lost = {}
for i = 7, #ARGV do
  is_lost[tonumber(ARGV[i])] = true
end
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
  local entries = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[5], '+inf', 'WITHSCORES', 'LIMIT', page * PAGE, PAGE)
  for i = 1, #entries, 2 do
    if #found < limit and is_lost[nonce_of(tonumber(entries[i + 1]))] then
      local task = redis.pcall('HMGET', ARGV[6] .. entries[i], 'msg', 'started')
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
