-- A page of the tasks of a queue in one state. Changes nothing. Go: listMessagesCmd, listZSetEntriesCmd.
--
-- KEYS     the list or set of the state, scheduled, retry, lease
-- ARGV[1]  now in microseconds, or blank for the server's clock
-- ARGV[2]  list, if the next one is at its tail, or zset
-- ARGV[3]  how many come before the page
-- ARGV[4]  how many are in the page, up to 500
-- ARGV[5]  what the keys of the queue's tasks begin with
--
-- Returns how many ids were looked at, then for each task the six values of task.lua.

local now = now_micros(ARGV[1])
local offset, limit = tonumber(ARGV[3]), tonumber(ARGV[4])
local kind = ARGV[2] == 'list' and 'LLEN' or 'ZCARD'
local err = first_wrong_type(kind, KEYS[1], 'ZCARD', KEYS[2], 'ZCARD', KEYS[3], 'ZCARD', KEYS[4])
if err then
  return redis.error_reply(err)
end

local ids
if ARGV[2] == 'list' then
  local from_tail = redis.call('LRANGE', KEYS[1], -(offset + limit), -(offset + 1))
  ids = {}
  for i = #from_tail, 1, -1 do
    ids[#ids + 1] = from_tail[i]
  end
else
  ids = redis.call('ZRANGE', KEYS[1], offset, offset + limit - 1)
end

local keys = {scheduled = KEYS[2], retry = KEYS[3], lease = KEYS[4]}
local reply = {#ids}
for _, id in ipairs(ids) do
  describe(reply, ARGV[5] .. id, id, keys, now)
end
return reply
