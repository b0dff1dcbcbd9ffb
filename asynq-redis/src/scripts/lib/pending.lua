-- Taking ids out of the middle of the pending tasks. LREM looks for each id from one end, so those near a place that is
-- known are marked and removed together.

local MARK = '\0removed'
local NEAR = 1000
-- How many ids LREM may pass in one script.
local PASSED_AT_MOST = 1000000

-- `before` is about how many come before those to be taken out, counted from the tail.
local function taking_out(pending, before)
  return {key = pending, before = before, marked = {}, far = {}}
end

local function read_places(taken)
  local first = math.max(taken.before - NEAR, 0)
  local near = redis.call('LRANGE', taken.key, -(taken.before + NEAR), -(first + 1))
  taken.places = {}
  for i, id in ipairs(near) do
    taken.places[id] = first + #near - i
  end
  taken.far_at_most = PASSED_AT_MOST / math.max(redis.call('LLEN', taken.key), 1)
end

-- Notes an id. Nothing is taken out before the end, since it moves the others.
local function take_out(taken, id)
  if not taken.places then
    read_places(taken)
  end
  local place = taken.places[id]
  if place then
    taken.marked[#taken.marked + 1] = place
    taken.places[id] = nil
  else
    taken.far[#taken.far + 1] = id
  end
end

local function is_enough(taken)
  return taken.places and #taken.far >= taken.far_at_most
end

local function take_out_noted(taken)
  local places = taken.marked
  table.sort(places)
  -- Those next to the tail are cut off.
  local cut = 0
  while places[cut + 1] == cut do
    cut = cut + 1
  end
  if cut > 0 then
    redis.call('LTRIM', taken.key, 0, -(cut + 1))
  end
  if #places > cut then
    -- A server that is out of memory allows what follows after this.
    redis.call('LREM', taken.key, 1, MARK)
    for i = cut + 1, #places do
      redis.call('LSET', taken.key, -(places[i] - cut + 1), MARK)
    end
    redis.call('LREM', taken.key, -(#places - cut), MARK)
  end
  for _, id in ipairs(taken.far) do
    redis.call('LREM', taken.key, -1, id)
  end
end
