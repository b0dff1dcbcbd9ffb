-- Lists groups that have tasks but are not listed, and sets that nobody would ever give back. No Go counterpart: there the
-- tasks in them wait until another one comes to the group.
--
-- KEYS[1]  groups
-- KEYS[2]  aggregation_sets
-- KEYS[3…] groups and sets
-- ARGV[1]  now in microseconds, or blank for the server's clock
-- ARGV[2]  what the keys of the queue's tasks begin with
-- ARGV[3]  what the keys of its groups begin with
--
-- Returns how many were listed.

local now = now_micros(ARGV[1])
local err = first_wrong_type('SCARD', KEYS[1], 'ZCARD', KEYS[2])
if err then
  return redis.error_reply(err)
end

local relisted = 0
for i = 3, #KEYS do
  local key = KEYS[i]
  local first = redis.pcall('ZRANGE', key, 0, 0)
  if not first.err and #first > 0 and not redis.call('ZSCORE', KEYS[2], key) then
    -- Names of groups may hold colons, so only its tasks tell a set from a group.
    local name = string.sub(key, #ARGV[3] + 1)
    local group = redis.pcall('HGET', ARGV[2] .. first[1], 'group')
    local is_set = type(group) == 'string' and group ~= name and string.sub(name, 1, #group + 1) == group .. ':'
    if is_set then
      redis.call('ZADD', KEYS[2], seconds(now), key)
      relisted = relisted + 1
    elseif redis.call('SADD', KEYS[1], name) == 1 then
      relisted = relisted + 1
    end
  end
end
return relisted
