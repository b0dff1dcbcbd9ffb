-- Runs, archives, deletes or cancels tasks of one queue, each atomically. Stops early when pending ones have to be looked for one
-- by one, and says how far it came.
-- Go: runTaskCmd, archiveTaskCmd, deleteTaskCmd, runAllCmd, archiveAllCmd, deleteAllCmd and their kin.
--
-- Unlike in Go, locks are released with whatever is deleted, tasks that make room in the archive are deleted whole, and
-- a task that is run says since when it is pending.
--
-- KEYS[1…6] pending, scheduled, retry, archived, completed, groups
-- KEYS[7…]  hashes of the tasks
-- ARGV[1]   now in microseconds, or blank for the server's clock
-- ARGV[2]   run | archive | delete | cancel
-- ARGV[3]   the state in whose list the ids were found, or blank
-- ARGV[4]   about how many pending tasks come before them
-- ARGV[5]   what the keys of the queue's tasks begin with
-- ARGV[6]   what the keys of its groups begin with
-- ARGV[7]   the group in which they were found, or blank
-- ARGV[8…]  ids
--
-- Returns for each task that it came to: '' if it was done, 'gone', 'merging', or the state that is in the way.

local now = now_micros(ARGV[1])
local action, expected = ARGV[2], ARGV[3]
local task_prefix, group_prefix, expected_group = ARGV[5], ARGV[6], ARGV[7]
local pending, archived, groups = KEYS[1], KEYS[4], KEYS[6]
local ZSETS = {scheduled = KEYS[2], retry = KEYS[3], archived = KEYS[4], completed = KEYS[5]}
local REFUSED = {
  run = {active = true, pending = true}, archive = {active = true, archived = true}, delete = {active = true},
  cancel = {
    pending = true, scheduled = true, retry = true, archived = true, completed = true, aggregating = true,
  },
}
local ARCHIVE_SIZE = 10000

local err = first_wrong_type('LLEN', pending, 'ZCARD', KEYS[2], 'ZCARD', KEYS[3], 'ZCARD', archived, 'ZCARD', KEYS[5],
  'SCARD', groups)
if err then
  return redis.error_reply(err)
end

local taken = taking_out(pending, tonumber(ARGV[4]))

local function leave_group(group, id)
  local key = group_prefix .. group
  redis.call('ZREM', key, id)
  if redis.call('EXISTS', key) == 0 then
    redis.call('SREM', groups, group)
  end
end

local function leave_list(task)
  if task.state == 'pending' then
    take_out(taken, task.id)
  elseif task.state == 'aggregating' then
    leave_group(task.group, task.id)
  elseif ZSETS[task.state] then
    redis.call('ZREM', ZSETS[task.state], task.id)
  end
end

local DO = {}

function DO.run(task)
  redis.call('LPUSH', pending, task.id)
  redis.call('HSET', task.key, 'state', 'pending', 'pending_since', nanos(now))
  redis.call('HDEL', task.key, 'due')
end

-- Room is made before, so the one that comes is not the one that goes.
function DO.archive(task)
  local surplus = math.min(redis.call('ZCARD', archived) - ARCHIVE_SIZE + 1, 2)
  if surplus > 0 then
    for _, id in ipairs(redis.call('ZRANGE', archived, 0, surplus - 1)) do
      delete_task(task_prefix .. id, id)
      redis.call('ZREM', archived, id)
    end
  end
  redis.call('ZADD', archived, seconds(now), task.id)
  redis.call('HSET', task.key, 'state', 'archived')
  redis.call('HDEL', task.key, 'due', 'lost')
end

function DO.delete(task)
  delete_task(task.key, task.id)
end

function DO.cancel(task)
  redis.call('HSET', task.key, 'cancel', 1)
end

-- An id without a task. In a list it would come back again and again.
local function drop(task)
  if expected == 'aggregating' then
    leave_group(expected_group, task.id)
  elseif expected ~= '' and expected ~= 'active' then
    task.state = expected
    leave_list(task)
  end
  return 'gone'
end

local function apply(task)
  local fields = redis.pcall('HMGET', task.key, 'state', 'group')
  if fields.err or redis.call('HSTRLEN', task.key, 'msg') == 0 then
    return drop(task)
  end
  task.state, task.group = fields[1] or '', fields[2] or ''
  if REFUSED[action][task.state] or (expected ~= '' and task.state ~= expected) then
    return task.state
  end
  if task.state == 'aggregating' then
    local score = redis.pcall('ZSCORE', group_prefix .. task.group, task.id)
    if type(score) ~= 'string' then
      return 'merging'
    end
  end
  if action ~= 'cancel' then
    leave_list(task)
  end
  DO[action](task)
  return ''
end

local reply = {}
for i = 8, #ARGV do
  reply[#reply + 1] = apply({id = ARGV[i], key = KEYS[i - 1]})
  if is_enough(taken) then
    break
  end
end
take_out_noted(taken)
return reply
