-- Active tasks whose lease has expired. Go: listLeaseExpiredCmd.
--
-- A lease without a task is removed, with the remains of the task.
--
-- KEYS[1]  lease
-- KEYS[2]  active
-- ARGV[1]  now in microseconds, or blank for the server's clock
-- ARGV[2]  how many at most
-- ARGV[3]  what the keys of the queue's tasks begin with
--
-- Returns the ids that were dropped, the score of the next lease to expire or '', then for each task: id, nonce, message, 1 if it was started, how often it was lost.

local now = now_micros(ARGV[1])
local limit = tonumber(ARGV[2])
local PAGE = 500
local PAGES_AT_MOST = 4

local err = first_wrong_type('ZCARD', KEYS[1], 'LLEN', KEYS[2])
if err then
  return redis.error_reply(err)
end

local dropped, remains = {}, {}
local reply = {dropped, ''}
local found, next_expiry = 0, nil

-- A lease that is past its score but within its grace, or the first that is not past it.
local function note_next(score)
  local expiry = expires_at(score)
  if not next_expiry or expiry < next_expiry then
    next_expiry = expiry
  end
end

for page = 0, PAGES_AT_MOST - 1 do
  local entries = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.17g', now / 1000000), 'WITHSCORES',
    'LIMIT', page * PAGE, PAGE)
  for i = 1, #entries, 2 do
    local id, score = entries[i], tonumber(entries[i + 1])
    if not has_expired(score, now) then
      note_next(score)
    elseif found < limit then
      local key = ARGV[3] .. id
      local task = redis.pcall('HMGET', key, 'msg', 'started', 'lost')
      if task.err or not task[1] then
        dropped[#dropped + 1] = id
        if not task.err then
          remains[#remains + 1] = key
        end
      else
        found = found + 1
        local nonce = whole(nonce_of(score))
        reply[#reply + 1] = id
        reply[#reply + 1] = nonce
        reply[#reply + 1] = task[1]
        reply[#reply + 1] = (nonce == '0' or task[2] == nonce) and 1 or 0
        reply[#reply + 1] = tonumber(task[3] or 0) or 0
      end
    end
  end
  if #entries < 2 * PAGE or found >= limit then
    break
  end
end

local first = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.17g', now / 1000000), '+inf', 'WITHSCORES',
  'LIMIT', 0, 1)
if first[2] then
  note_next(tonumber(first[2]))
end
if next_expiry then
  reply[2] = whole(next_expiry * 1000000)
end

for _, id in ipairs(dropped) do
  redis.call('ZREM', KEYS[1], id)
  redis.call('LREM', KEYS[2], 0, id)
end
for _, key in ipairs(remains) do
  redis.call('DEL', key)
end
return reply
