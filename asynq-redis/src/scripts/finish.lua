-- Settles tasks of one queue, each only if its claim on the lease holds.
-- Go: doneCmd, doneUniqueCmd, markAsCompleteCmd, markAsCompleteUniqueCmd, retryCmd, archiveCmd, requeueCmd.
--
-- The first write removes a lease, which a server that is out of memory allows; what follows is allowed after it.
--
-- KEYS[1…11] active, lease, pending, scheduled, retry, archived, completed, processed, failed, processed of the day,
--            failed of the day
-- KEYS[12…]  for each task: its hash, its lock if it is to be released
-- ARGV[1]    now in microseconds, or blank for the server's clock
-- ARGV[2…]   for each task: id, nonce, claim (holder | expired), operation, message or '' to leave it, number, text,
--            1 if a lock is among the keys
--
--   operation   number                      text
--   delete      -                           -
--   complete    second the retention ends   '' or r and the result
--   retry       delay in microseconds       1 if it counts as a failure
--   snooze      delay in microseconds       -
--   archive     -                           -
--   quarantine  -                           why it cannot be decoded
--   requeue     1 if its worker was lost    -
--
-- Returns 1 if the counters could be kept, then for each task 1 if it was settled, 0 if the claim does not hold.

local active, lease, pending, scheduled, retry, archived, completed =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local counters = {KEYS[8], KEYS[9], KEYS[10], KEYS[11]}
local processed, failed = 0, 0

-- The server's clock is asked only if an operation needs the time.
local time
local function now()
  time = time or now_micros(ARGV[1])
  return time
end

local PLACES = {
  complete = {'ZCARD', completed}, retry = {'ZCARD', retry}, snooze = {'ZCARD', scheduled},
  archive = {'ZCARD', archived}, quarantine = {'ZCARD', archived}, requeue = {'LLEN', pending},
}
local err = first_wrong_type('LLEN', active, 'ZCARD', lease)
local checked = {}
for i = 2, #ARGV, 8 do
  local place = PLACES[ARGV[i + 3]]
  if place and not checked[place[2]] then
    err = err or wrong_type(place[1], place[2])
    checked[place[2]] = true
  end
end
if err then
  return redis.error_reply(err)
end

local function holds(task)
  local is_ours, score = is_held(lease, task.id, task.nonce)
  if is_ours and task.claim == 'expired' then
    return has_expired(score, now())
  end
  return is_ours
end

local function release(task)
  redis.call('ZREM', lease, task.id)
  -- The one that was taken out first is at the tail.
  redis.call('LREM', active, -1, task.id)
end

local function unlock(task)
  if task.lock_key and redis.pcall('GET', task.lock_key) == task.id then
    redis.call('DEL', task.lock_key)
  end
end

-- Writes the new state, with the message if it has changed, and clears what belonged to this attempt.
local function write(task, state, ...)
  local fields = {'state', state, ...}
  if task.message ~= '' then
    fields[#fields + 1] = 'msg'
    fields[#fields + 1] = task.message
  end
  redis.call('HSET', task.key, unpack(fields))
end

-- The group is forgotten when a task that ran by itself waits again: a Go forwarder would put it back in its group.
local function wait(task, state, set)
  local score, exact = due_score(now() + task.number)
  redis.call('ZADD', set, score, task.id)
  if exact then
    write(task, state, 'due', exact)
    redis.call('HDEL', task.key, 'started', 'cancel', 'lost', 'group')
  else
    write(task, state)
    redis.call('HDEL', task.key, 'started', 'cancel', 'lost', 'group', 'due')
  end
end

local SETTLE = {}

function SETTLE.delete(task)
  redis.call('DEL', task.key)
  unlock(task)
  processed = processed + 1
end

function SETTLE.complete(task)
  redis.call('ZADD', completed, whole(task.number), task.id)
  if task.text ~= '' then
    write(task, 'completed', 'result', string.sub(task.text, 2))
  else
    write(task, 'completed')
  end
  redis.call('HDEL', task.key, 'started', 'cancel', 'lost')
  unlock(task)
  processed = processed + 1
end

function SETTLE.retry(task)
  wait(task, 'retry', retry)
  if task.text == '1' then
    processed = processed + 1
    failed = failed + 1
  end
end

function SETTLE.snooze(task)
  wait(task, 'scheduled', scheduled)
end

function SETTLE.archive(task)
  redis.call('ZADD', archived, seconds(now()), task.id)
  if task.text ~= '' then
    write(task, 'archived', 'asynq_error', task.text)
  else
    write(task, 'archived')
  end
  redis.call('HDEL', task.key, 'started', 'cancel', 'lost')
  processed = processed + 1
  failed = failed + 1
end

SETTLE.quarantine = SETTLE.archive

function SETTLE.requeue(task)
  redis.call('RPUSH', pending, task.id)
  write(task, 'pending', 'pending_since', nanos(now()))
  if task.number == 1 then
    redis.call('HDEL', task.key, 'started', 'cancel')
    redis.call('HINCRBY', task.key, 'lost', 1)
  else
    redis.call('HDEL', task.key, 'started', 'cancel', 'lost')
  end
end

local reply = {1}
local next_key = 12
for i = 2, #ARGV, 8 do
  local task = {
    id = ARGV[i], nonce = tonumber(ARGV[i + 1]), claim = ARGV[i + 2], message = ARGV[i + 4],
    number = tonumber(ARGV[i + 5]) or 0, text = ARGV[i + 6], key = KEYS[next_key],
  }
  next_key = next_key + 1
  if ARGV[i + 7] == '1' then
    task.lock_key = KEYS[next_key]
    next_key = next_key + 1
  end
  -- A task that somebody deleted while it ran is not made again.
  local is_settled = holds(task) and redis.pcall('HEXISTS', task.key, 'msg') == 1
  if is_settled then
    release(task)
    SETTLE[ARGV[i + 3]](task)
  end
  reply[#reply + 1] = is_settled and 1 or 0
end

if not count_attempts(counters, processed, failed) then
  reply[1] = 0
end
return reply
