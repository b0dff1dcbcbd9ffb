-- What inspection shows of a task. Reads only.

-- Appends state, message, result, when it runs next in microseconds or '', and 1 if its lease has expired.
local function describe(reply, task_key, id, keys, now)
  local task = redis.pcall('HMGET', task_key, 'msg', 'state', 'result', 'due')
  if task.err or not task[1] then
    return false
  end
  local state, next_at, is_orphaned = task[2] or '', '', 0
  if state == 'scheduled' or state == 'retry' then
    local score = tonumber(redis.call('ZSCORE', keys[state], id) or 0)
    local exact = tonumber(task[4] or 0)
    next_at = whole(score * 1000000)
    if exact > (score - 1) * 1000000 and exact < score * 1000000 then
      next_at = whole(exact)
    end
  elseif state == 'pending' then
    next_at = whole(now)
  elseif state == 'active' then
    local score = redis.call('ZSCORE', keys.lease, id)
    is_orphaned = score and tonumber(score) <= now / 1000000 and 1 or 0
  end
  reply[#reply + 1] = id
  reply[#reply + 1] = state
  reply[#reply + 1] = task[1]
  reply[#reply + 1] = task[3] or ''
  reply[#reply + 1] = next_at
  reply[#reply + 1] = is_orphaned
  return true
end
