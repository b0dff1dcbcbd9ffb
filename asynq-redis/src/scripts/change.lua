-- Changes a task that waits: its message, its place, its queue. Nothing if it is not what it was when it was read.
-- Go: updateTaskPayloadCmd, which writes over what changed meanwhile and leaves the lock on the old payload.
--
-- KEYS[1…3] hash of the task, its list or set, groups
-- KEYS[4…6] the same where it goes, which may be the same keys
-- KEYS[7]  its lock
-- KEYS[8]  the lock it is exchanged for, if it holds it; the same if there is none
-- ARGV[1]  now in microseconds, or blank for the server's clock
-- ARGV[2]  id
-- ARGV[3]  its state and [4] its message as they were read
-- ARGV[5]  its state and [6] its message as they are to be
-- ARGV[7]  when it is to run: blank to leave it, a and the moment or d and the delay, in microseconds
-- ARGV[8]  its group, or blank
-- ARGV[9]  1 if the message names a lock
--
-- Returns 1 if it was done, 0 and the state if the task is another one by now, -1 if it is in a sealed set, -2 if its id
-- is taken there, -3 and the holder if the lock is held.

local now = now_micros(ARGV[1])
local id, old_state, state, group = ARGV[2], ARGV[3], ARGV[5], ARGV[8]
local is_moved = KEYS[1] ~= KEYS[4]
local SIZES = {pending = 'LLEN'}

local err = first_wrong_type(SIZES[old_state] or 'ZCARD', KEYS[2], 'SCARD', KEYS[3], SIZES[state] or 'ZCARD', KEYS[5],
  'SCARD', KEYS[6])
if err then
  return redis.error_reply(err)
end

local task = redis.pcall('HMGET', KEYS[1], 'state', 'msg')
if task.err or not task[2] then
  return {0, ''}
end
if task[1] ~= old_state or task[2] ~= ARGV[4] then
  return {0, task[1] or ''}
end
local score = old_state ~= 'pending' and redis.call('ZSCORE', KEYS[2], id)
if old_state == 'aggregating' and not score then
  return {-1}
end
if is_moved and redis.call('EXISTS', KEYS[4]) == 1 then
  return {-2}
end
local holds_lock = ARGV[9] == '1' and KEYS[7] ~= KEYS[8] and redis.pcall('GET', KEYS[7]) == id
if holds_lock then
  local holder = redis.pcall('GET', KEYS[8])
  if holder and holder ~= id then
    return {-3, type(holder) == 'string' and holder or ''}
  end
end

if KEYS[2] ~= KEYS[5] then
  if old_state == 'pending' then
    redis.call('LREM', KEYS[2], -1, id)
  else
    redis.call('ZREM', KEYS[2], id)
  end
  if old_state == 'aggregating' and redis.call('EXISTS', KEYS[2]) == 0 then
    redis.call('SREM', KEYS[3], group)
  end
end
if holds_lock then
  redis.call('RENAME', KEYS[7], KEYS[8])
end
if is_moved then
  redis.call('RENAME', KEYS[1], KEYS[4])
end

local fields = {'state', state, 'msg', ARGV[6]}
if ARGV[9] == '1' then
  fields[#fields + 1] = 'unique_key'
  fields[#fields + 1] = KEYS[8]
end
if state == 'pending' then
  if KEYS[2] ~= KEYS[5] then
    redis.call('LPUSH', KEYS[5], id)
    fields[#fields + 1] = 'pending_since'
    fields[#fields + 1] = nanos(now)
  end
elseif ARGV[7] ~= '' then
  local _, due = place(ARGV[7], '', now)
  local exact
  score, exact = due_score(math.max(due, now))
  redis.call('ZADD', KEYS[5], score, id)
  redis.call('HDEL', KEYS[4], 'due', 'pending_since', 'lost')
  if exact then
    fields[#fields + 1] = 'due'
    fields[#fields + 1] = exact
  end
else
  redis.call('ZADD', KEYS[5], score or seconds(now), id)
  if state == 'aggregating' then
    redis.call('SADD', KEYS[6], group)
  end
end
redis.call('HSET', KEYS[4], unpack(fields))
return {1}
