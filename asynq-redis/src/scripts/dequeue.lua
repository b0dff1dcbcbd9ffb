-- Takes tasks out of queues and leases them. Go: dequeueCmd, which does it for one task of one queue.
--
-- An id without a task is dropped; remains without a message are deleted, since nobody could ever run or see them.
-- The first write takes from a list, which a server that is out of memory allows; what follows is allowed after it.
--
-- KEYS     for each queue: pending, active, lease, paused
-- ARGV[1]  now in microseconds, or blank for the server's clock
-- ARGV[2]  how many tasks at most, up to 500
-- ARGV[3]  length of the lease in microseconds
-- ARGV[4]  nonce
-- ARGV[5…] for each queue: what the keys of its tasks begin with
--
-- Returns the time, then for each queue that has anything to say: its number from 0, an error or '', the ids dropped,
-- and id and message of each task in turn.

local now = now_micros(ARGV[1])
local wanted = tonumber(ARGV[2])
local nonce = tonumber(ARGV[4])
local score = lease_score(now, tonumber(ARGV[3]), nonce)
local EXAMINED_AT_MOST = 500

-- Sorts ids at the tail of the list into tasks and what is to be dropped. Reads only.
local function look(queue, ids, found)
  for i = #ids, 1, -1 do
    local id = ids[i]
    local task_key = queue.prefix .. id
    local task = redis.pcall('HMGET', task_key, 'msg', 'state')
    -- An id can be listed twice, or while its task is running, by hand or by a broken program.
    local is_running = task[2] == 'active' and redis.call('ZSCORE', queue.lease, id)
    if task[1] and not found.seen[id] and not is_running then
      found.ids[#found.ids + 1] = id
      found.tasks[#found.tasks + 1] = id
      found.tasks[#found.tasks + 1] = task[1]
    elseif not found.seen[id] then
      found.dropped[#found.dropped + 1] = id
      if not task.err and not task[1] then
        found.remains[#found.remains + 1] = task_key
      end
    end
    found.seen[id] = true
  end
end

local function take(queue, found, examined)
  redis.call('LTRIM', queue.pending, 0, -(examined + 1))
  if #found.ids > 0 then
    redis.call('LPUSH', queue.active, unpack(found.ids))
    local leases = {}
    for _, id in ipairs(found.ids) do
      leases[#leases + 1] = score
      leases[#leases + 1] = id
      local task_key = queue.prefix .. id
      redis.call('HSET', task_key, 'state', 'active')
      redis.call('HDEL', task_key, 'pending_since', 'started', 'cancel')
    end
    redis.call('ZADD', queue.lease, unpack(leases))
  end
  for _, task_key in ipairs(found.remains) do
    redis.call('DEL', task_key)
  end
end

local function serve(queue)
  local found = {ids = {}, tasks = {}, dropped = {}, remains = {}, seen = {}}
  if redis.call('EXISTS', queue.paused) == 1 then
    return found
  end
  local examined = 0
  while #found.ids < wanted and examined < EXAMINED_AT_MOST do
    local count = math.min(wanted - #found.ids, EXAMINED_AT_MOST - examined)
    local ids = redis.pcall('LRANGE', queue.pending, -(examined + count), -(examined + 1))
    if ids.err then
      return found, 'WRONGTYPE the key ' .. queue.pending .. ' cannot be used: ' .. ids.err
    end
    if #ids == 0 then
      break
    end
    if examined == 0 then
      local err = first_wrong_type('LLEN', queue.active, 'ZCARD', queue.lease)
      if err then
        return found, err
      end
    end
    look(queue, ids, found)
    examined = examined + #ids
  end
  if examined > 0 then
    take(queue, found, examined)
  end
  return found
end

local reply = {whole(now)}
for i = 1, #KEYS, 4 do
  if wanted <= 0 then
    break
  end
  local number = (i - 1) / 4
  local queue = {
    pending = KEYS[i], active = KEYS[i + 1], lease = KEYS[i + 2], paused = KEYS[i + 3], prefix = ARGV[5 + number],
  }
  local found, err = serve(queue)
  if err or #found.ids > 0 or #found.dropped > 0 then
    reply[#reply + 1] = number
    reply[#reply + 1] = err or ''
    reply[#reply + 1] = found.dropped
    reply[#reply + 1] = found.tasks
  end
  wanted = wanted - #found.ids
end
return reply
