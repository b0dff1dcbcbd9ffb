-- Storing a new task.

local CODES = {pending = 1, scheduled = 2, aggregating = 3}

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

-- A task, from five arguments: id, message, when, unique TTL in microseconds or '', group or ''; and from its keys: its hash,
-- its lock if it is unique, its group if it has one. Gives the number of the key behind them too.
local function read_task(argument, key, now)
  local task = {id = ARGV[argument], message = ARGV[argument + 1], group = ARGV[argument + 4], task_key = KEYS[key]}
  local next_key = key + 1
  if ARGV[argument + 3] ~= '' then
    task.unique_ttl = tonumber(ARGV[argument + 3])
    task.lock_key = KEYS[next_key]
    next_key = next_key + 1
  end
  if task.group ~= '' then
    task.group_key = KEYS[next_key]
    next_key = next_key + 1
  end
  task.state, task.due = place(ARGV[argument + 2], task.group, now)
  return task, next_key
end

-- What is wrong with the group of a task, which is found before anything is written.
local function wrong_group(task)
  return task.group_key and wrong_type('ZCARD', task.group_key)
end

-- The answer for a task that is stored.
local function stored(task)
  return CODES[task.state], task.state == 'scheduled' and whole(task.due) or ''
end

-- Stores a task unless its id or its lock is taken, and gives the two values that enqueue.lua returns for it.
-- keys: pending, scheduled, groups.
local function insert(keys, task, now)
  local is_taken, state = existing(task.task_key)
  if is_taken then
    return 0, state
  end
  if task.lock_key then
    local holder = lock_holder(task.lock_key, task.id, task.unique_ttl + task.due - now)
    if holder then
      return -1, holder
    end
  end
  store(keys, task, now)
  if task.state == 'pending' then
    redis.call('LPUSH', keys.pending, task.id)
  end
  return stored(task)
end
