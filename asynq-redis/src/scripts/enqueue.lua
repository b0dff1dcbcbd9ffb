-- Stores new tasks of one queue, each atomically; see Enqueue::enqueue for the order of checks.
-- Go: enqueueCmd, enqueueUniqueCmd, addToGroupCmd, addToGroupUniqueCmd, scheduleCmd, scheduleUniqueCmd.
--
-- KEYS[1]  pending
-- KEYS[2]  scheduled
-- KEYS[3]  groups
-- KEYS[4…] for each task: its hash, its lock if it is unique, its group if it has one
-- ARGV[1]  now in microseconds, or blank for the server's clock
-- ARGV[2]  1 if an earlier try may have stored the tasks
-- ARGV[3…] for each task: id, message, when ('' | a<micros> | d<micros>), unique TTL in microseconds or '', group or ''
--
-- Returns the time, then for each task two values:
--   1, ''       pending          2, micros  scheduled for      3, ''  aggregating
--   0, state    its id is taken  -1, id     the lock is held by that task

local now = now_micros(ARGV[1])
local is_repeated = ARGV[2] == '1'
local CODES = {pending = 1, scheduled = 2, aggregating = 3}

local places = {scheduled = KEYS[2], groups = KEYS[3]}
local err = first_wrong_type('LLEN', KEYS[1], 'ZCARD', KEYS[2], 'SCARD', KEYS[3])
if err then
  return redis.error_reply(err)
end

local reply = {whole(now)}
local function answer(code, detail)
  reply[#reply + 1] = code
  reply[#reply + 1] = detail
end

local next_key = 4
local function take_key(wanted)
  if wanted == '' then
    return nil
  end
  next_key = next_key + 1
  return KEYS[next_key - 1]
end

-- All that can be wrong with a group is found before anything is written.
local first_key = next_key
for i = 3, #ARGV, 5 do
  take_key('task')
  take_key(ARGV[i + 3])
  local group_key = take_key(ARGV[i + 4])
  if group_key then
    err = wrong_type('ZCARD', group_key)
    if err then
      return redis.error_reply(err)
    end
  end
end
next_key = first_key

local function enqueue(task, at, ttl)
  local is_taken, state = existing(task.task_key)
  if is_taken then
    if is_repeated and redis.pcall('HGET', task.task_key, 'msg') == task.message then
      return CODES[task.state], task.state == 'scheduled' and whole(task.due) or ''
    end
    return 0, state
  end
  if task.lock_key then
    local holder = lock_holder(task.lock_key, task.id, tonumber(ttl) + task.due - now)
    if holder then
      return -1, holder
    end
  end
  store(places, task, now)
  if task.state == 'pending' then
    redis.call('LPUSH', KEYS[1], task.id)
  end
  return CODES[task.state], task.state == 'scheduled' and whole(task.due) or ''
end

for i = 3, #ARGV, 5 do
  local task = {id = ARGV[i], message = ARGV[i + 1], group = ARGV[i + 4]}
  task.task_key = take_key('task')
  task.lock_key = take_key(ARGV[i + 3])
  task.group_key = take_key(task.group)
  task.state, task.due = place(ARGV[i + 2], task.group, now)
  answer(enqueue(task, ARGV[i + 2], ARGV[i + 3]))
end
return reply
