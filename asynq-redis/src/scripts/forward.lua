-- Moves tasks that are due from one set to the pending tasks, or to their group. Go: forwardCmd.
--
-- Scores are whole seconds, rounded up. A task that is due within a second has its exact time in the field `due`.
-- Only scheduled tasks go to their group: one that waits for a retry has run by itself.
-- Unlike in Go, the name of the group is listed, so that an aggregator finds it.
--
-- KEYS[1]  scheduled or retry
-- KEYS[2]  pending
-- KEYS[3]  groups
-- ARGV[1]  now in microseconds, or blank for the server's clock
-- ARGV[2]  how many at most, up to 500
-- ARGV[3]  what the keys of the queue's tasks begin with
-- ARGV[4]  what the keys of its groups begin with, or blank if none is to go to a group
--
-- Returns the time, how many were moved, when the next is due or '', 1 if there are more that are due, and the ids that
-- were dropped since there is no task of that id.

local now = now_micros(ARGV[1])
local limit = tonumber(ARGV[2])
local task_prefix, group_prefix = ARGV[3], ARGV[4]
local this_second = math.floor(now / 1000000)
local PAGE = 500
local PAGES_AT_MOST = 4

local err = first_wrong_type('ZCARD', KEYS[1], 'LLEN', KEYS[2], 'SCARD', KEYS[3])
if err then
  return redis.error_reply(err)
end

-- What is known of a task without reading its payload.
local function task_of(id, score)
  local key = task_prefix .. id
  local task = {id = id, key = key, due = score * 1000000}
  local fields = redis.pcall('HMGET', key, 'group', 'due')
  if fields.err then
    task.is_gone = true
    return task
  end
  local message = redis.call('HSTRLEN', key, 'msg')
  task.is_gone = message == 0
  task.is_remains = message == 0
  task.exact = fields[2] and tonumber(fields[2])
  -- An exact time that is not within the second before the score was left by an earlier schedule.
  if task.exact and task.exact > (score - 1) * 1000000 and task.exact < task.due then
    task.due = task.exact
  end
  if group_prefix ~= '' and fields[1] and fields[1] ~= '' then
    task.group = fields[1]
  end
  return task
end

local due, next_due = {}, nil
local function consider(entries)
  for i = 1, #entries, 2 do
    local task = task_of(entries[i], tonumber(entries[i + 1]))
    if task.is_gone or (task.due <= now and #due < limit) then
      due[#due + 1] = task
    elseif not next_due or task.due < next_due then
      next_due = task.due
    end
  end
end

-- Those whose second has come, then those of the running second, of which only some may be due.
consider(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', whole(this_second), 'WITHSCORES', 'LIMIT', 0, limit))
local page = 0
local from, to = '(' .. whole(this_second), whole(this_second + 1)
while #due < limit and page < PAGES_AT_MOST do
  local entries = redis.call('ZRANGEBYSCORE', KEYS[1], from, to, 'WITHSCORES', 'LIMIT', page * PAGE, PAGE)
  consider(entries)
  page = page + 1
  if #entries < 2 * PAGE then
    page = PAGES_AT_MOST
  end
end

-- The next second that has any, if this one has none left.
if not next_due and #due < limit then
  local first = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. whole(this_second + 1), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if #first > 0 then
    consider(redis.call('ZRANGEBYSCORE', KEYS[1], first[2], first[2], 'WITHSCORES', 'LIMIT', 0, 100))
  end
end

for _, task in ipairs(due) do
  if task.group and not task.is_gone then
    err = wrong_type('ZCARD', group_prefix .. task.group)
    if err then
      return redis.error_reply(err)
    end
  end
end
-- Ids decide between those due at the same moment, as they do in the set.
table.sort(due, function(a, b) return a.due < b.due or (a.due == b.due and a.id < b.id) end)

local dropped, moved = {}, 0
for _, task in ipairs(due) do
  redis.call('ZREM', KEYS[1], task.id)
  if task.is_gone then
    dropped[#dropped + 1] = task.id
    if task.is_remains then
      redis.call('DEL', task.key)
    end
  else
    moved = moved + 1
    if task.group then
      redis.call('ZADD', group_prefix .. task.group, whole(this_second), task.id)
      redis.call('SADD', KEYS[3], task.group)
      redis.call('HSET', task.key, 'state', 'aggregating')
    else
      redis.call('LPUSH', KEYS[2], task.id)
      redis.call('HSET', task.key, 'state', 'pending', 'pending_since', nanos(now))
    end
    if task.exact then
      redis.call('HDEL', task.key, 'due')
    end
  end
end

return {whole(now), moved, next_due and whole(next_due) or '', #due >= limit and 1 or 0, dropped}
