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

local err = first_wrong_type('LLEN', KEYS[1], 'ZCARD', KEYS[2], 'SCARD', KEYS[3], 'GET', KEYS[4])
if err then
  return redis.error_reply(err)
end

local last = redis.call('GET', KEYS[4])
if last and tonumber(last) and tonumber(last) >= tonumber(ARGV[2]) then
  return {0, last}
end

local task = read_task(4, 5, now)
err = wrong_group(task)
if err then
  return redis.error_reply(err)
end

local code, detail = insert({pending = KEYS[1], scheduled = KEYS[2], groups = KEYS[3]}, task, now)
redis.call('SET', KEYS[4], ARGV[2], 'EX', ARGV[3])
return {1, whole(now), code, detail}
