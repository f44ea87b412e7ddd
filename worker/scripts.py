"""Changes of a job that happen whole or not at all: Lua, run by Redis between two commands."""

from __future__ import annotations

# Record, event, queue and webhook change together.
#
# KEYS  record, events, lease, jobs:queued, jobs:running, webhooks
# ARGV  job, allowed statuses (JSON), fields to set (JSON), fields to drop (JSON), event (JSON),
#       fence, place in the queue, events kept, life of an ended job's events (s), now (s)
# The fence is a token: the lease must hold it; "free": nobody may hold the lease; "": any.
# Answers {"moved" | "stays" | "fenced" | "missing", the status that was found}.
TRANSITION = """
local found = redis.call('HGET', KEYS[1], 'status')
if not found then return {'missing', ''} end
local holder = redis.call('GET', KEYS[3])
local fence = ARGV[6]
if fence == 'free' then
  if holder then return {'fenced', found} end
elseif fence ~= '' and holder ~= fence then
  return {'fenced', found}
end
local allowed = false
for _, status in ipairs(cjson.decode(ARGV[2])) do allowed = allowed or status == found end
if not allowed then return {'stays', found} end
for name, value in pairs(cjson.decode(ARGV[3])) do redis.call('HSET', KEYS[1], name, value) end
for _, name in ipairs(cjson.decode(ARGV[4])) do redis.call('HDEL', KEYS[1], name) end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[8], '*', 'event', ARGV[5])
local status = redis.call('HGET', KEYS[1], 'status')
if status == 'queued' then
  if found ~= 'queued' then redis.call('ZADD', KEYS[4], ARGV[7], ARGV[1]) end
else redis.call('ZREM', KEYS[4], ARGV[1]) end
if status == 'running' or status == 'cancelling' then redis.call('SADD', KEYS[5], ARGV[1])
else redis.call('SREM', KEYS[5], ARGV[1]) end
if status == 'succeeded' or status == 'failed' or status == 'cancelled' then
  redis.call('EXPIRE', KEYS[2], ARGV[9])
  if redis.call('HEXISTS', KEYS[1], 'webhook') == 1 then
    redis.call('ZADD', KEYS[6], ARGV[10], ARGV[1])
  end
else
  redis.call('PERSIST', KEYS[2])
end
return {'moved', found}
"""

# A new job, once: a second call for the same id changes nothing.
#
# KEYS  record, events, jobs, jobs:queued [, idempotency]
# ARGV  job, fields (JSON), event (JSON), created (s), place in the queue
#       [, idempotency's value, its life (s)]
CREATE = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
for name, value in pairs(cjson.decode(ARGV[2])) do redis.call('HSET', KEYS[1], name, value) end
redis.call('XADD', KEYS[2], '*', 'event', ARGV[3])
redis.call('ZADD', KEYS[3], ARGV[4], ARGV[1])
redis.call('ZADD', KEYS[4], ARGV[5], ARGV[1])
if KEYS[5] then redis.call('SET', KEYS[5], ARGV[6], 'EX', ARGV[7]) end
return 1
"""

# Events of the trainer, if its supervisor still holds the job; each is there once, also when an
# answer was lost and the supervisor sends again: `told` holds its token and how many it has told.
#
# KEYS  record, events, lease
# ARGV  fence, events kept, fields to set (JSON), step of the newest checkpoint or
#       -1, how many this supervisor told before, events (JSON)…
# A checkpoint further on than any before ends a row of deaths.
RECORD = """
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return 'fenced' end
if redis.call('EXISTS', KEYS[1]) == 0 then return 'missing' end
local before = tonumber(ARGV[5])
local token, count = string.match(redis.call('HGET', KEYS[1], 'told') or '', '^(.*) (%d+)$')
local known = token == ARGV[1] and tonumber(count) or 0
redis.call('HSET', KEYS[1], 'told', ARGV[1] .. ' ' .. math.max(known, before + #ARGV - 5))
for name, value in pairs(cjson.decode(ARGV[3])) do redis.call('HSET', KEYS[1], name, value) end
local step = tonumber(ARGV[4])
if step > tonumber(redis.call('HGET', KEYS[1], 'checkpoint_step') or '-1') then
  redis.call('HSET', KEYS[1], 'checkpoint_step', step, 'deaths', 0)
end
for index = 6 + math.max(0, known - before), #ARGV do
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', 'event', ARGV[index])
end
return 'recorded'
"""

# An ended job goes; a job that is queued or runs stays.
#
# KEYS  record, events, jobs, webhooks
# ARGV  job
DELETE = """
local status = redis.call('HGET', KEYS[1], 'status')
if status and status ~= 'succeeded' and status ~= 'failed' and status ~= 'cancelled' then
  return status
end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
return ''
"""
