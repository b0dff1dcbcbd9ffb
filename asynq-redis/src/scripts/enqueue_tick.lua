-- Enqueues the task of a tick, if the tick is after the last one of its entry; see ScheduleStore::enqueue_tick.
-- Go has no counterpart: each of its schedulers enqueues a copy.
--
-- KEYS[1]  pending
-- KEYS[2]  scheduled
-- KEYS[3]  groups
-- KEYS[4]  last tick of the entry
-- KEYS[5…] of the task: its hash, its lock if it is unique, its group if it has one
-- ARGV[1]  now in microseconds, or blank for the server's clock
-- ARGV[2]  the tick in microseconds
-- ARGV[3]  how many seconds the last tick is kept
-- ARGV[4…] of the task: id, message, when ('' | a<micros> | d<micros>), unique TTL in microseconds or '', group or ''
--
-- Returns 0 and the last tick if it is not before this one; otherwise 1, the time, and the two values that enqueue.lua
-- gives for a task.

local now = now_micros(ARGV[1])
local CODES = {pending = 1, scheduled = 2, aggregating = 3}

local err = first_wrong_type('LLEN', KEYS[1], 'ZCARD', KEYS[2], 'SCARD', KEYS[3], 'GET', KEYS[4])
if err then
  return redis.error_reply(err)
end

local last = redis.call('GET', KEYS[4])
if last and tonumber(last) and tonumber(last) >= tonumber(ARGV[2]) then
  return {0, last}
end

local task = {id = ARGV[4], message = ARGV[5], group = ARGV[8], task_key = KEYS[5]}
local next_key = 6
if ARGV[7] ~= '' then
  task.lock_key = KEYS[next_key]
  next_key = next_key + 1
end
if task.group ~= '' then
  task.group_key = KEYS[next_key]
  err = wrong_type('ZCARD', task.group_key)
  if err then
    return redis.error_reply(err)
  end
end
task.state, task.due = place(ARGV[6], task.group, now)

local function answer(code, detail)
  redis.call('SET', KEYS[4], ARGV[2], 'EX', ARGV[3])
  return {1, whole(now), code, detail}
end

local is_taken, state = existing(task.task_key)
if is_taken then
  return answer(0, state)
end
if task.lock_key then
  local holder = lock_holder(task.lock_key, task.id, tonumber(ARGV[7]) + task.due - now)
  if holder then
    return answer(-1, holder)
  end
end
store({scheduled = KEYS[2], groups = KEYS[3]}, task, now)
if task.state == 'pending' then
  redis.call('LPUSH', KEYS[1], task.id)
end
return answer(CODES[task.state], task.state == 'scheduled' and whole(task.due) or '')
