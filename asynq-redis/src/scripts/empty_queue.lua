-- Deletes some tasks of a queue that is to be deleted, from the first list that has any.
-- Go: removeQueueCmd, removeQueueForceCmd, which forget completed tasks, groups and locks.
--
-- KEYS     pending, active, scheduled, retry, archived, completed, groups, aggregation_sets
-- ARGV[1]  1 to delete tasks, blank to refuse if there are any
-- ARGV[2]  what the keys of the queue's tasks begin with
-- ARGV[3]  what the keys of its groups begin with
-- ARGV[4]  how many at most, up to 500
--
-- Returns -1 if it is refused, otherwise how many tasks were deleted, and 1 if there are more.

local task_prefix, group_prefix, limit = ARGV[2], ARGV[3], tonumber(ARGV[4])
local is_forced = ARGV[1] == '1'
local pending, active, groups, sets = KEYS[1], KEYS[2], KEYS[7], KEYS[8]

-- A key of another type is nobody's list: it is deleted with the remains.
local function size(command, key)
  local answer = redis.pcall(command, key)
  return type(answer) == 'number' and answer or 0
end

local function members(key)
  local ids = redis.pcall('ZRANGE', key, 0, limit - 1)
  return ids.err and {} or ids
end

if size('LLEN', active) > 0 then
  return {-1, 0}
end
local is_empty = size('LLEN', pending) == 0
for i = 3, 6 do
  is_empty = is_empty and size('ZCARD', KEYS[i]) == 0
end
is_empty = is_empty and size('SCARD', groups) == 0 and size('ZCARD', sets) == 0
if is_empty then
  return {0, 0}
end

-- Names of groups without tasks are no tasks.
local function has_grouped_tasks()
  for _, group in ipairs(redis.call('SRANDMEMBER', groups, limit)) do
    if size('ZCARD', group_prefix .. group) > 0 then
      return true
    end
  end
  return size('ZCARD', sets) > 0
end
if not is_forced then
  local has_tasks = size('LLEN', pending) > 0
  for i = 3, 6 do
    has_tasks = has_tasks or size('ZCARD', KEYS[i]) > 0
  end
  if has_tasks or has_grouped_tasks() then
    return {-1, 0}
  end
  return {0, 0}
end

local function delete_tasks(ids)
  for _, id in ipairs(ids) do
    delete_task(task_prefix .. id, id)
  end
end

if size('LLEN', pending) > 0 then
  local ids = redis.call('LRANGE', pending, -limit, -1)
  delete_tasks(ids)
  redis.call('LTRIM', pending, 0, -(#ids + 1))
  return {#ids, 1}
end
local function delete_members(key)
  local ids = members(key)
  delete_tasks(ids)
  redis.call('ZREM', key, unpack(ids))
  return {#ids, 1}
end
for i = 3, 6 do
  if size('ZCARD', KEYS[i]) > 0 then
    return delete_members(KEYS[i])
  end
end
local group = redis.call('SRANDMEMBER', groups)
if group then
  local key = group_prefix .. group
  if size('ZCARD', key) > 0 then
    return delete_members(key)
  end
  redis.call('SREM', groups, group)
  return {0, 1}
end
local set = members(sets)[1]
if size('ZCARD', set) > 0 and string.sub(set, 1, #group_prefix) == group_prefix then
  return delete_members(set)
end
redis.call('ZREM', sets, set)
return {0, 1}
