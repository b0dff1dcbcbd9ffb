-- Sets leases of one queue that are still held to end later, and notes that their tasks have been started.
-- Go: ExtendLease, which is one ZADD XX and cannot tell what is lost.
--
-- Leases are removed and added again, since a server that is out of memory allows only that.
--
-- KEYS[1]  lease
-- KEYS[2…] for each lease: the hash of its task
-- ARGV[1]  now in microseconds, or blank for the server's clock
-- ARGV[2]  length of the lease in microseconds
-- ARGV[3…] for each lease: id, nonce
--
-- Returns the time, then for each lease 0 if it is lost, 1 if it is held, 2 if its task is to be cancelled.

local now = now_micros(ARGV[1])
local lease_micros = tonumber(ARGV[2])
local err = wrong_type('ZCARD', KEYS[1])
if err then
  return redis.error_reply(err)
end

local reply = {whole(now)}
local held, leases, started = {}, {}, {}
for i = 3, #ARGV, 2 do
  local id, nonce = ARGV[i], tonumber(ARGV[i + 1])
  local task_key = KEYS[2 + (i - 3) / 2]
  local code = 0
  if is_held(KEYS[1], id, nonce) then
    local task = redis.pcall('HMGET', task_key, 'state', 'started', 'cancel')
    if not task.err and task[1] then
      code = task[3] and 2 or 1
      held[#held + 1] = id
      leases[#leases + 1] = lease_score(now, lease_micros, nonce)
      leases[#leases + 1] = id
      if task[2] ~= ARGV[i + 1] then
        started[#started + 1] = {task_key, ARGV[i + 1]}
      end
    end
  end
  reply[#reply + 1] = code
end

if #held > 0 then
  redis.call('ZREM', KEYS[1], unpack(held))
  redis.call('ZADD', KEYS[1], unpack(leases))
end
for _, task in ipairs(started) do
  redis.call('HSET', task[1], 'started', task[2])
  redis.call('HDEL', task[1], 'lost')
end
return reply
