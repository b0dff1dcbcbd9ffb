-- Deleting a task for good.

-- Deletes the hash of a task, and its uniqueness lock if the task holds it.
local function delete_task(task_key, id)
  local lock_key = redis.pcall('HGET', task_key, 'unique_key')
  if type(lock_key) == 'string' and lock_key ~= '' and redis.pcall('GET', lock_key) == id then
    redis.call('DEL', lock_key)
  end
  redis.call('DEL', task_key)
end
