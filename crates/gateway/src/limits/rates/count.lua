-- One key's requests of the last minute, in cells of a second of this server's time: those that are full and the one
-- that fills, 61 in all, so that no 60 s hold more than the limit.
--
-- KEYS: the token of this data, the key's cells. ARGV: the token the gateways have agreed on, the limit, what to do
-- ('take', 'look' or 'back'), and for 'back' the second that was taken.
-- Gives nothing if this is other data; else whether a slot was taken or given back, the requests before it and the
-- seconds until a slot was free, the same after it, and the second.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return {}
end
local cells, limit, what = KEYS[2], tonumber(ARGV[2]), ARGV[3]
local state = redis.call('HMGET', cells, 'now', 'total', 'oldest')
local now = tonumber(redis.call('TIME')[1])
local last, total, oldest = tonumber(state[1] or now), tonumber(state[2] or 0), tonumber(state[3] or now)
-- A clock that goes back changes nothing.
now = math.max(now, last)

local function counts(from, to)
    local seconds = {}
    for second = from, to do
        seconds[#seconds + 1] = second
    end
    return #seconds > 0 and redis.call('HMGET', cells, unpack(seconds)) or {}
end

-- What has left the window.
local left = {}
for index, count in ipairs(counts(oldest, math.min(now - 61, last))) do
    if count then
        total = total - count
        left[#left + 1] = oldest + index - 1
    end
end
oldest = math.max(oldest, now - 60)

local function wait()
    local excess = total + 1 - limit
    if excess <= 0 then
        return 0
    end
    for index, count in ipairs(counts(oldest, now)) do
        excess = excess - (count or 0)
        if excess <= 0 then
            return oldest + index - 1 + 61 - now
        end
    end
    return 61
end

local function change(second, by)
    -- The first write: if the server takes none, nothing has changed.
    redis.call('HINCRBY', cells, second, by)
    total = total + by
    redis.call('HSET', cells, 'now', now, 'total', total, 'oldest', oldest)
    redis.call('EXPIRE', cells, 120)
    if #left > 0 then
        redis.call('HDEL', cells, unpack(left))
    end
end

local before, wait_before, done, second = total, wait(), 0, now
if what == 'take' and total < limit then
    change(now, 1)
    done = 1
elseif what == 'back' then
    second = tonumber(ARGV[4])
    if second >= oldest and tonumber(redis.call('HGET', cells, second) or 0) > 0 then
        change(second, -1)
        done = 1
    end
end
return { done, before, wait_before, total, wait(), second }
