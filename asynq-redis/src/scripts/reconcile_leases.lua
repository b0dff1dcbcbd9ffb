-- Mends leases of tasks that are not active. No Go counterpart.
--
-- KEYS     active, lease
-- ARGV     first rank to look at, what the keys of the queue's tasks begin with
--
-- Returns 1 if there are more to look at, how many leases were removed, and how many tasks were put back in the list of
-- active ones.

local first = tonumber(ARGV[1])
local PAGE = 500
-- Looking for ids in a list takes time in proportion to its length.
local LIST_AT_MOST = 5000
local err = first_wrong_type('LLEN', KEYS[1], 'ZCARD', KEYS[2])
if err then
  return redis.error_reply(err)
end
if redis.call('LLEN', KEYS[1]) > LIST_AT_MOST then
  return {0, 0, 0}
end

local is_active = {}
for _, id in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  is_active[id] = true
end
local ids = redis.call('ZRANGE', KEYS[2], first, first + PAGE - 1)
local removed, relisted = 0, 0
for _, id in ipairs(ids) do
  local state = redis.pcall('HGET', ARGV[2] .. id, 'state')
  if state ~= 'active' then
    redis.call('ZREM', KEYS[2], id)
    redis.call('LREM', KEYS[1], 0, id)
    removed = removed + 1
  elseif not is_active[id] then
    redis.call('LPUSH', KEYS[1], id)
    relisted = relisted + 1
  end
end
return {#ids == PAGE and 1 or 0, removed, relisted}
