-- A part of a list of tasks, after a place in it that is found again although others came and went. Changes nothing.
-- Go: listMessagesCmd, listZSetEntriesCmd, which count from the beginning.
--
-- KEYS     the list or set of the state, scheduled, retry, lease
-- ARGV[1]  now in microseconds, or blank for the server's clock
-- ARGV[2]  of a list, whose next one is at its tail: the state of its tasks; of a set: zset
-- ARGV[3]  how many to look at, up to 500
-- ARGV[4]  what the keys of the queue's tasks begin with
-- ARGV[5]  what ids are to begin with, or blank
-- ARGV[6]  1 to give tasks, blank for their ids only
-- ARGV[7]  of a list: how many came before; of a set: the score of the last one, or blank for the beginning
-- ARGV[8…] of a list: ids of some of those, the last one first; of a set: the last id
--
-- Returns how many there are in the list, how many come before this part, how many were looked at, 1 if there are more,
-- score and id of the last one that was looked at; then for each task its number in this part, its score or since when it is pending in nanoseconds, and the six
-- values of task.lua or only the id.

local now = now_micros(ARGV[1])
local is_list = ARGV[2] ~= 'zset'
local limit, task_prefix, id_prefix, wants_tasks = tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6] == '1'
-- So that large payloads do not make a long answer of few tasks.
local BYTES_AT_MOST = 2097152
-- How far from where it was a task of a list is looked for before the whole list is.
local TOWARDS_TAIL, TOWARDS_HEAD = 1000, 200

local err = first_wrong_type(is_list and 'LLEN' or 'ZCARD', KEYS[1], 'ZCARD', KEYS[2], 'ZCARD', KEYS[3], 'ZCARD', KEYS[4])
if err then
  return redis.error_reply(err)
end

-- Byte by byte, as Redis orders members: Lua's own order is that of the server's language.
local function is_after(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then
      return x > y
    end
  end
  return #a > #b
end

-- How many members of the set come up to this score and id, whether or not it is (still) a member.
local function rank_after(score, id)
  if redis.call('ZSCORE', KEYS[1], id) == score then
    return redis.call('ZRANK', KEYS[1], id) + 1
  end
  local low = redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. score)
  local high = redis.call('ZCOUNT', KEYS[1], '-inf', score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_after(redis.call('ZRANGE', KEYS[1], middle, middle)[1], id) then
      high = middle
    else
      low = middle + 1
    end
  end
  return low
end

-- The same for a list, counted from its tail.
local function place_after(before, landmarks)
  if #landmarks == 0 or (before > 0 and redis.call('LINDEX', KEYS[1], -before) == landmarks[1]) then
    return before
  end
  local start = math.max(before - TOWARDS_TAIL, 0)
  local near = redis.call('LRANGE', KEYS[1], -(before + TOWARDS_HEAD), -(start + 1))
  local places = {}
  for i, id in ipairs(near) do
    places[id] = start + #near - i + 1
  end
  for _, id in ipairs(landmarks) do
    if places[id] then
      return places[id]
    end
    if redis.pcall('HGET', task_prefix .. id, 'state') == ARGV[2] then
      local place = redis.call('LPOS', KEYS[1], id, 'RANK', -1)
      if place then
        return redis.call('LLEN', KEYS[1]) - place
      end
    end
  end
  -- All of them have been taken out, and with them all before them.
  return 0
end

local before, total, ids, scores = 0, 0, {}, {}
if is_list then
  local landmarks = {}
  for i = 8, #ARGV do
    landmarks[#landmarks + 1] = ARGV[i]
  end
  before = place_after(tonumber(ARGV[7]), landmarks)
  total = redis.call('LLEN', KEYS[1])
  local from_tail = redis.call('LRANGE', KEYS[1], -(before + limit), -(before + 1))
  for i = #from_tail, 1, -1 do
    ids[#ids + 1] = from_tail[i]
  end
else
  if ARGV[7] ~= '' then
    before = rank_after(ARGV[7], ARGV[8])
  end
  total = redis.call('ZCARD', KEYS[1])
  local entries = redis.call('ZRANGE', KEYS[1], before, before + limit - 1, 'WITHSCORES')
  for i = 1, #entries, 2 do
    ids[#ids + 1] = entries[i]
    scores[#scores + 1] = entries[i + 1]
  end
end

local function since(number, id)
  if not is_list then
    return scores[number]
  end
  local pending_since = redis.pcall('HGET', task_prefix .. id, 'pending_since')
  return type(pending_since) == 'string' and pending_since or ''
end

local keys = {scheduled = KEYS[2], retry = KEYS[3], lease = KEYS[4]}
local reply = {total, before, 0, 0, '', ''}
local bytes, examined = 0, 0
for number, id in ipairs(ids) do
  examined = number
  if string.sub(id, 1, #id_prefix) == id_prefix then
    local start = #reply
    reply[start + 1] = number
    if not wants_tasks then
      reply[start + 2] = scores[number] or ''
      reply[start + 3] = id
    else
      reply[start + 2] = since(number, id)
      if describe(reply, task_prefix .. id, id, keys, now) then
        bytes = bytes + #reply[start + 5] + #reply[start + 6]
      else
        reply[start + 1] = nil
        reply[start + 2] = nil
      end
    end
  end
  if bytes > BYTES_AT_MOST then
    break
  end
end
reply[3] = examined
reply[4] = before + examined < total and 1 or 0
reply[5] = scores[examined] or ''
reply[6] = ids[examined] or ''
return reply
