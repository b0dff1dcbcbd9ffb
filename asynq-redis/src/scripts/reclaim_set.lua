-- Puts tasks of a set past its deadline back in their group. Go: reclaimStateAggregationSetsCmd.
--
-- Unlike in Go, the name of the group is listed again, so that an aggregator finds it.
--
-- KEYS[1]  aggregation_sets
-- KEYS[2]  groups
-- ARGV[1]  now in microseconds, or blank for the server's clock
-- ARGV[2]  what the keys of the queue's groups begin with
--
-- Returns 1 if a set has gone back, all of it; and 1 if there may be more to do.

local now = now_micros(ARGV[1])
local err = first_wrong_type('ZCARD', KEYS[1], 'SCARD', KEYS[2])
if err then
  return redis.error_reply(err)
end
local stale = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', seconds(now), 'LIMIT', 0, 1)
if #stale == 0 then
  return {0, 0}
end

local set_key = stale[1]
local group_key = string.match(set_key, '^(.*):')
local is_named_so = group_key and string.sub(group_key, 1, #ARGV[2]) == ARGV[2]
if not is_named_so or first_wrong_type('ZCARD', set_key, 'ZCARD', group_key) then
  redis.call('ZREM', KEYS[1], set_key)
  return {0, 1}
end

local entries = redis.call('ZRANGE', set_key, 0, 499, 'WITHSCORES')
if #entries == 0 then
  redis.call('ZREM', KEYS[1], set_key)
  return {0, 1}
end
local ids, members = {}, {}
for i = 1, #entries, 2 do
  ids[#ids + 1] = entries[i]
  members[#members + 1] = entries[i + 1]
  members[#members + 1] = entries[i]
end
redis.call('ZREM', set_key, unpack(ids))
redis.call('ZADD', group_key, unpack(members))
redis.call('SADD', KEYS[2], string.sub(group_key, #ARGV[2] + 1))
if redis.call('EXISTS', set_key) == 1 then
  redis.call('ZADD', KEYS[1], '-inf', set_key)
  return {0, 1}
end
redis.call('ZREM', KEYS[1], set_key)
return {1, 1}
