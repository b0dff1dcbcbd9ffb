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

local places = {pending = KEYS[1], scheduled = KEYS[2], groups = KEYS[3]}
local err = first_wrong_type('LLEN', KEYS[1], 'ZCARD', KEYS[2], 'SCARD', KEYS[3])

local tasks = {}
local next_key = 4
for i = 3, #ARGV, 5 do
  local task
  task, next_key = read_task(i, next_key, now)
  tasks[#tasks + 1] = task
  err = err or wrong_group(task)
end
if err then
  return redis.error_reply(err)
end

local function enqueue(task)
  if is_repeated and redis.pcall('HGET', task.task_key, 'msg') == task.message then
    return stored(task)
  end
  return insert(places, task, now)
end

local reply = {whole(now)}
for _, task in ipairs(tasks) do
  local code, detail = enqueue(task)
  reply[#reply + 1] = code
  reply[#reply + 1] = detail
end
return reply
