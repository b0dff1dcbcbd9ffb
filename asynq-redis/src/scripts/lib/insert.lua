-- Storing a new task.

-- Where a task that is due at `at` goes: its state and the time.
-- at: blank for now, otherwise 'a' and the moment or 'd' and the delay, in microseconds.
local function place(at, group, now)
  local due = now
  if at ~= '' then
    due = tonumber(string.sub(at, 2))
    if string.sub(at, 1, 1) == 'd' then
      due = due + now
    end
  end
  if due > now then
    return 'scheduled', due
  end
  if group ~= '' then
    return 'aggregating', now
  end
  return 'pending', now
end

-- The hash of the task, if it exists already: nil, or true and its state. A key of another type is in the way too.
local function existing(task_key)
  if redis.call('EXISTS', task_key) == 0 then
    return false
  end
  local state = redis.pcall('HGET', task_key, 'state')
  return true, type(state) == 'string' and state or ''
end

-- The id that holds the lock, or nil after taking it for `id`.
local function lock_holder(lock_key, id, ttl_micros)
  local millis = whole(math.ceil(ttl_micros / 1000))
  if redis.call('SET', lock_key, id, 'NX', 'PX', millis) then
    return nil
  end
  local holder = redis.pcall('GET', lock_key)
  return type(holder) == 'string' and holder or ''
end

-- Writes the hash and, unless it is to be pending, its place. The caller lists pending ids.
-- keys: scheduled, groups. lock_key and group_key may be nil.
local function store(keys, task, now)
  local fields = {'msg', task.message, 'state', task.state}
  local function field(name, value)
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
  if task.lock_key then
    field('unique_key', task.lock_key)
  end
  if task.group_key then
    field('group', task.group)
  end
  if task.state == 'pending' then
    field('pending_since', nanos(now))
  elseif task.state == 'scheduled' then
    local score, exact = due_score(task.due)
    if exact then
      field('due', exact)
    end
    redis.call('ZADD', keys.scheduled, score, task.id)
  else
    redis.call('ZADD', task.group_key, seconds(now), task.id)
    redis.call('SADD', keys.groups, task.group)
  end
  redis.call('HSET', task.task_key, unpack(fields))
end
