-- Puts tasks that are in no list back in the one of their state, and deletes what is left of tasks without a message.
-- No Go counterpart: there they block their id for ever.
--
-- KEYS[1…9] pending, active, lease, scheduled, retry, archived, completed, groups, aggregation_sets
-- KEYS[10…] hashes of tasks
-- ARGV[1]   now in microseconds, or blank for the server's clock
-- ARGV[2]   what the keys of the queue's tasks begin with
-- ARGV[3]   what the keys of its groups begin with
--
-- Returns how many tasks were put back and how many remains were deleted.

local now = now_micros(ARGV[1])
local task_prefix, group_prefix = ARGV[2], ARGV[3]
local pending, active, lease = KEYS[1], KEYS[2], KEYS[3]
local groups, sets = KEYS[8], KEYS[9]
local ZSETS = {scheduled = KEYS[4], retry = KEYS[5], archived = KEYS[6], completed = KEYS[7]}
-- Looking for an id in a list takes time in proportion to its length. Longer ones are left alone.
local LIST_AT_MOST = 1000
local DAY = 86400

local err = first_wrong_type('LLEN', pending, 'LLEN', active, 'ZCARD', lease, 'ZCARD', KEYS[4], 'ZCARD', KEYS[5],
  'ZCARD', KEYS[6], 'ZCARD', KEYS[7], 'SCARD', groups, 'ZCARD', sets)
if err then
  return redis.error_reply(err)
end

local listed = {}
local function is_in_list(key, id)
  if not listed[key] then
    listed[key] = {}
    for _, other in ipairs(redis.call('LRANGE', key, 0, -1)) do
      listed[key][other] = true
    end
  end
  return listed[key][id]
end
local function is_short(key)
  return redis.call('LLEN', key) <= LIST_AT_MOST
end

local function make_pending(task)
  redis.call('LPUSH', pending, task.id)
  redis.call('HSET', task.key, 'state', 'pending', 'pending_since', nanos(now))
end

local function is_in_a_set(id)
  for _, set_key in ipairs(redis.call('ZRANGE', sets, 0, 499)) do
    local score = redis.pcall('ZSCORE', set_key, id)
    if type(score) == 'string' then
      return true
    end
  end
  return false
end

local MEND = {}

function MEND.pending(task)
  if not is_short(pending) or is_in_list(pending, task.id) then
    return false
  end
  make_pending(task)
  return true
end

-- Those with a lease are mended with the leases, those in the list of active ones with that.
function MEND.active(task)
  if not is_short(active) or is_in_list(active, task.id) then
    return false
  end
  make_pending(task)
  return true
end

local function mend_zset(task)
  local key = ZSETS[task.state]
  if redis.call('ZSCORE', key, task.id) then
    return false
  end
  local score = seconds(now)
  if task.due then
    score = whole(math.ceil(tonumber(task.due) / 1000000))
  elseif task.state == 'completed' then
    -- Its retention is in its message, which scripts do not read.
    score = whole(math.floor(now / 1000000) + DAY)
  end
  redis.call('ZADD', key, score, task.id)
  return true
end
for state in pairs(ZSETS) do
  MEND[state] = mend_zset
end

function MEND.aggregating(task)
  if not task.group or task.group == '' then
    return MEND.pending(task)
  end
  local group_key = group_prefix .. task.group
  if wrong_type('ZCARD', group_key) or redis.call('ZSCORE', group_key, task.id) or is_in_a_set(task.id) then
    return false
  end
  redis.call('ZADD', group_key, seconds(now), task.id)
  redis.call('SADD', groups, task.group)
  return true
end

local relisted, deleted = 0, 0
for i = 10, #KEYS do
  local task = {key = KEYS[i], id = string.sub(KEYS[i], #task_prefix + 1)}
  local fields = redis.pcall('HMGET', task.key, 'state', 'group', 'due')
  if not fields.err and redis.call('EXISTS', task.key) == 1 and not redis.call('ZSCORE', lease, task.id) then
    task.state, task.group, task.due = fields[1], fields[2], fields[3]
    if redis.call('HSTRLEN', task.key, 'msg') == 0 then
      redis.call('DEL', task.key)
      deleted = deleted + 1
    elseif MEND[task.state] and MEND[task.state](task) then
      relisted = relisted + 1
    end
  end
end
return {relisted, deleted}
