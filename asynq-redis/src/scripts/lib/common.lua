-- Used by all scripts.

-- Microseconds since the Unix epoch: the argument, or what the server's clock shows if it is blank.
local function now_micros(argument)
  if argument ~= '' then
    return tonumber(argument)
  end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- A whole number as text. Lua's own way has only 14 digits.
local function whole(number)
  return string.format('%.0f', number)
end

-- The error of a key that another program has made something else of, or nil. Asked before anything is written.
local function wrong_type(command, key)
  local answer = redis.pcall(command, key)
  if type(answer) == 'table' and answer.err then
    return 'WRONGTYPE the key ' .. key .. ' cannot be used: ' .. answer.err
  end
  return nil
end

-- The first such error of several, given as command and key in turn.
local function first_wrong_type(...)
  local checks = {...}
  for i = 1, #checks, 2 do
    local err = wrong_type(checks[i], checks[i + 1])
    if err then
      return err
    end
  end
  return nil
end

-- When a task is due: the score in whole seconds, rounded up so that nobody runs it early, and the exact time in
-- microseconds if that is not a whole second.
local function due_score(micros)
  local score = math.ceil(micros / 1000000)
  if score * 1000000 == micros then
    return whole(score), nil
  end
  return whole(score), whole(micros)
end

-- The score as a whole number, for what Go writes and reads that way.
local function seconds(micros)
  return whole(math.floor(micros / 1000000))
end

-- Nanoseconds, as in pending_since.
local function nanos(micros)
  return whole(micros) .. '000'
end
