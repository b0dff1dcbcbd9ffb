-- Sealed sets. Their score in aggregation_sets is the second they go back to their group; plus infinity once the merged
-- task is stored and only deleting them is left, minus infinity once they have begun to go back. Go asynq reclaims by
-- score, so it never touches the former and goes on with the latter.

local MEMBERS_PER_CALL = 500

-- Deletes some tasks of a finished set, and says whether there are more.
local function delete_members(set_key, sets_key, task_prefix)
  local ids = redis.call('ZRANGE', set_key, 0, MEMBERS_PER_CALL - 1)
  for _, id in ipairs(ids) do
    delete_task(task_prefix .. id, id)
  end
  if #ids > 0 then
    redis.call('ZREM', set_key, unpack(ids))
  end
  if redis.call('EXISTS', set_key) == 1 then
    return true
  end
  redis.call('ZREM', sets_key, set_key)
  return false
end
