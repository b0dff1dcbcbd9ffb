-- Mends active tasks without lease. No Go counterpart: there nobody would ever look at them again.
--
-- A worker of Go asynq may be running the task and can only extend a lease that is there, so the task gets one and is not
-- taken away at once.
--
-- KEYS     active, lease
-- ARGV[1]  now in microseconds, or blank for the server's clock
-- ARGV[2]  first index to look at
-- ARGV[3]  what the keys of the queue's tasks begin with
--
-- Returns 1 if there are more to look at, how many leases were added, how many ids were taken out of the list, and how
-- many remains of tasks were deleted.

local now = now_micros(ARGV[1])
local first = tonumber(ARGV[2])
local PAGE = 500
local GRACE = 30
local err = first_wrong_type('LLEN', KEYS[1], 'ZCARD', KEYS[2])
if err then
  return redis.error_reply(err)
end

local ids = redis.call('LRANGE', KEYS[1], first, first + PAGE - 1)
local added, removed, deleted = 0, 0, 0
for _, id in ipairs(ids) do
  if not redis.call('ZSCORE', KEYS[2], id) then
    local task_key = ARGV[3] .. id
    local state = redis.pcall('HGET', task_key, 'state')
    local is_task = state == 'active' and redis.call('HSTRLEN', task_key, 'msg') > 0
    if is_task then
      redis.call('ZADD', KEYS[2], whole(math.floor(now / 1000000) + GRACE), id)
      added = added + 1
    else
      redis.call('LREM', KEYS[1], 0, id)
      removed = removed + 1
      if state == 'active' then
        redis.call('DEL', task_key)
        deleted = deleted + 1
      end
    end
  end
end
return {#ids == PAGE and 1 or 0, added, removed, deleted}
