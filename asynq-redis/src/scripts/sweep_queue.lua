-- Deletes keys of a queue that is to be deleted and has no tasks in its lists (any more): counters, locks, the pause,
-- tasks and groups that nobody lists. No Go counterpart: there they stay.
--
-- KEYS[1…8] pending, active, scheduled, retry, archived, completed, groups, aggregation_sets
-- KEYS[9…]  keys to be deleted, whatever they are
-- ARGV[1]   1 to delete tasks, blank to refuse if there are any
-- ARGV[2]   what the keys of the queue's tasks begin with
-- ARGV[3]   what the keys of its groups begin with
--
-- Returns -1 if it is refused for a task that nobody lists, -2 if there are tasks in the lists, otherwise how many tasks
-- were deleted, and 1 if some of the keys are left.

local is_forced, task_prefix, group_prefix = ARGV[1] == '1', ARGV[2], ARGV[3]
local MEMBERS_AT_MOST = 500
local COMMANDS = {'LLEN', 'LLEN', 'ZCARD', 'ZCARD', 'ZCARD', 'ZCARD'}

local function size(command, key)
  local answer = redis.pcall(command, key)
  return type(answer) == 'number' and answer or 0
end

for i, command in ipairs(COMMANDS) do
  if size(command, KEYS[i]) > 0 then
    return {-2, 0}
  end
end

local function begins_with(key, prefix)
  return string.sub(key, 1, #prefix) == prefix
end

local function is_task(key)
  return begins_with(key, task_prefix) and size('HLEN', key) > 0 and redis.call('HSTRLEN', key, 'msg') > 0
end

local function is_group(key)
  return begins_with(key, group_prefix) and size('ZCARD', key) > 0
end

if not is_forced then
  for i = 9, #KEYS do
    if is_task(KEYS[i]) or is_group(KEYS[i]) then
      return {-1, 0}
    end
  end
end

local deleted = 0
for i = 9, #KEYS do
  local key = KEYS[i]
  if is_group(key) then
    local ids = redis.call('ZRANGE', key, 0, MEMBERS_AT_MOST - 1)
    for _, id in ipairs(ids) do
      delete_task(task_prefix .. id, id)
    end
    redis.call('ZREM', key, unpack(ids))
    return {deleted + #ids, 1}
  elseif is_task(key) then
    delete_task(key, string.sub(key, #task_prefix + 1))
    deleted = deleted + 1
  else
    -- It may be large: its memory is freed later.
    redis.call('UNLINK', key)
  end
end
return {deleted, 0}
