#!lua name=lth

-- Every mutation of the index is one of these functions. Each compares the generation (and, for leaders, the
-- epoch) before it writes, and each is safe to call again: a deed fills a field that is filled only once.

local GENERATION, BUILDING = 'lth:generation', 'lth:building'
local EPOCH, LEASE, STALE = 'lth:epoch', 'lth:lease', 'lth:stale_refused'
local EVENT_TTL_MS = 86400000
local ENDED_STREAM_TTL_S = 604800
local MAX_EVENTS = 10000
local CONFIRMED = '+inf'

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function overtaken(epoch)
  local stored = redis.call('GET', EPOCH)
  if not stored then return redis.error_reply('NOEPOCH no leader has claimed this index') end
  if tonumber(epoch) < tonumber(stored) then
    redis.call('INCR', STALE)
    return redis.error_reply('STALE epoch ' .. epoch .. ' was overtaken by ' .. stored)
  end
end

-- Prefix of the keys of this generation (the current one, or the one being built), or the error that refuses the call.
local function admit(generation, epoch)
  local current = redis.call('GET', GENERATION)
  if current ~= generation and redis.call('GET', BUILDING) ~= generation then
    if not current then return nil, redis.error_reply('NOGEN the index is empty') end
    return nil, redis.error_reply('OLDGEN ' .. current)
  end
  local refused = epoch ~= '' and overtaken(epoch)
  if refused then return nil, refused end
  return 'lth:' .. generation .. ':'
end

local function ring(prefix, what)
  redis.call('XADD', prefix .. 'bell', 'MAXLEN', '~', 1000, '*', 'what', what)
end

-- events: event id and JSON in turn, from position `first`.
local function emit(prefix, tenant, id, events, first)
  local stream = prefix .. 'events:' .. tenant .. ':' .. id
  local fresh = 0
  for i = first, #events, 2 do
    local op = prefix .. 'op:' .. tenant .. ':' .. id .. ':' .. events[i]
    if redis.call('SET', op, '1', 'NX', 'PX', EVENT_TTL_MS) then
      redis.call('XADD', stream, 'MAXLEN', '~', MAX_EVENTS, '*', 'event', events[i + 1])
      fresh = fresh + 1
    end
  end
  if fresh > 0 then ring(prefix, id .. '/' .. tenant) end
  return fresh
end

-- generation, tenant, id, spec, priority rank, reservation, month, gpu seconds, events...
local function enqueue(_, a)
  local p, refused = admit(a[1], '')
  if refused then return refused end
  local tenant, id = a[2], a[3]
  local search, member = p .. 'search:' .. tenant .. ':' .. id, id .. '/' .. tenant
  redis.call('ZREM', p .. 'quota:' .. tenant, a[6])
  redis.call('HDEL', p .. 'gpu:' .. tenant .. ':' .. a[7], a[6])
  if redis.call('HSETNX', search, 'spec', a[4]) == 0 then return 0 end
  redis.call('ZADD', p .. 'searches:' .. tenant, 0, id)
  local state = redis.call('HGET', search, 'state')
  if state ~= 'ended' then
    redis.call('ZADD', p .. 'live', 0, member)
    redis.call('ZADD', p .. 'quota:' .. tenant, CONFIRMED, id)
    redis.call('HSETNX', p .. 'gpu:' .. tenant .. ':' .. a[7], id, a[8])
  end
  if not state then redis.call('ZADD', p .. 'queue', a[5], member) end
  emit(p, tenant, id, a, 9)
  ring(p, 'queue')
  return 1
end

-- generation, epoch, tenant, id, field, record, effect ('', taken, wish, ended), mode or month, gpu seconds, events...
local function log(_, a)
  local p, refused = admit(a[1], a[2])
  if refused then return refused end
  local tenant, id, effect = a[3], a[4], a[7]
  local search, member = p .. 'search:' .. tenant .. ':' .. id, id .. '/' .. tenant
  if redis.call('HSETNX', search, a[5], a[6]) == 0 then return 0 end
  local ended = redis.call('HGET', search, 'state') == 'ended'
  if effect == 'taken' and not ended then
    redis.call('HSET', search, 'state', 'taken')
    redis.call('ZREM', p .. 'queue', member)
  elseif effect == 'wish' and not ended then
    redis.call('HSET', p .. 'wishes', member, a[8])
    ring(p, 'queue')
  elseif effect == 'ended' then
    redis.call('HSET', search, 'state', 'ended')
    redis.call('ZREM', p .. 'queue', member)
    redis.call('ZREM', p .. 'live', member)
    redis.call('HDEL', p .. 'wishes', member)
    redis.call('ZREM', p .. 'quota:' .. tenant, id)
    redis.call('HSET', p .. 'gpu:' .. tenant .. ':' .. a[8], id, a[9])
    redis.call('DEL', p .. 'overlay:' .. tenant .. ':' .. id)
  end
  emit(p, tenant, id, a, 10)
  if effect == 'ended' then
    redis.call('EXPIRE', p .. 'events:' .. tenant .. ':' .. id, ENDED_STREAM_TTL_S)
    ring(p, 'queue')
  end
  return 1
end

-- generation, epoch, tenant, id, key, level, manifest, summary, tickets (JSON array: name, place, ...), events...
local function commit(_, a)
  local p, refused = admit(a[1], a[2])
  if refused then return refused end
  local tenant = a[3]
  local fresh = redis.call('HSETNX', p .. 'lineage:' .. tenant .. ':' .. a[5], a[6], a[7])
  redis.call('HSETNX', p .. 'levels:' .. tenant .. ':' .. a[5], a[6], a[8])
  local tickets = cjson.decode(a[9])
  for i = 1, #tickets, 2 do redis.call('HSET', p .. 'tickets:' .. tenant, tickets[i], tickets[i + 1]) end
  emit(p, tenant, a[4], a, 10)
  return fresh
end

-- generation, epoch, tenant, id, events...
local function announce(_, a)
  local p, refused = admit(a[1], a[2])
  if refused then return refused end
  return emit(p, a[3], a[4], a, 5)
end

-- generation, epoch, tenant, id, overlay, ttl in ms; answers the wish to cancel, '' if none
local function beat(_, a)
  local p, refused = admit(a[1], a[2])
  if refused then return refused end
  if redis.call('HGET', p .. 'search:' .. a[3] .. ':' .. a[4], 'state') ~= 'ended' then
    redis.call('SET', p .. 'overlay:' .. a[3] .. ':' .. a[4], a[5], 'PX', a[6])
  end
  return redis.call('HGET', p .. 'wishes', a[4] .. '/' .. a[3]) or ''
end

-- generation, epoch, picture of the cluster, ttl in ms
local function show_cluster(_, a)
  local p, refused = admit(a[1], a[2])
  if refused then return refused end
  redis.call('SET', p .. 'cluster', a[3], 'PX', a[4])
  return 1
end

-- generation, hash, field, value, mode ('once' or 'always')
local function put(_, a)
  local p, refused = admit(a[1], '')
  if refused then return refused end
  if a[5] == 'once' then return redis.call('HSETNX', p .. a[2], a[3], a[4]) end
  redis.call('HSET', p .. a[2], a[3], a[4])
  return 1
end

-- generation, tenant, reservation, limit of live searches, lease in ms, month, gpu seconds, gpu limit ('' = none)
local function reserve(_, a)
  local p, refused = admit(a[1], '')
  if refused then return refused end
  local live, gpu = p .. 'quota:' .. a[2], p .. 'gpu:' .. a[2] .. ':' .. a[6]
  local now = now_ms()
  for _, lapsed in ipairs(redis.call('ZRANGEBYSCORE', live, '-inf', now)) do
    redis.call('ZREM', live, lapsed)
    redis.call('HDEL', gpu, lapsed)
  end
  if redis.call('ZSCORE', live, a[3]) then
    redis.call('ZADD', live, now + tonumber(a[5]), a[3])
    return 'ok'
  end
  if redis.call('ZCARD', live) >= tonumber(a[4]) then return 'live_searches' end
  if a[8] ~= '' then
    local used = tonumber(a[7])
    for _, seconds in ipairs(redis.call('HVALS', gpu)) do used = used + tonumber(seconds) end
    if used > tonumber(a[8]) then return 'gpu_seconds' end
    redis.call('HSET', gpu, a[3], a[7])
  end
  redis.call('ZADD', live, now + tonumber(a[5]), a[3])
  return 'ok'
end

-- generation, tenant, reservation, month
local function release(_, a)
  local p, refused = admit(a[1], '')
  if refused then return refused end
  redis.call('HDEL', p .. 'gpu:' .. a[2] .. ':' .. a[4], a[3])
  return redis.call('ZREM', p .. 'quota:' .. a[2], a[3])
end

-- generation, tenant, ticket, place, ticket, place, ...
local function name_tickets(_, a)
  local p, refused = admit(a[1], '')
  if refused then return refused end
  for i = 3, #a, 2 do redis.call('HSET', p .. 'tickets:' .. a[2], a[i], a[i + 1]) end
  return (#a - 2) / 2
end

-- owner, epoch, ttl in ms: the holder of the lease makes his epoch the lowest that may write
local function lead(_, a)
  if redis.call('GET', LEASE) ~= a[1] then return redis.error_reply('STALE the lease is not held by this owner') end
  local stored = redis.call('GET', EPOCH)
  if stored and tonumber(a[2]) < tonumber(stored) then return overtaken(a[2]) end
  redis.call('SET', EPOCH, a[2])
  redis.call('PEXPIRE', LEASE, a[3])
  return 1
end

-- owner, epoch, ttl in ms
local function renew(_, a)
  local refused = overtaken(a[2])
  if refused then return refused end
  local holder = redis.call('GET', LEASE)
  if holder and holder ~= a[1] then return redis.error_reply('STALE the lease has another holder') end
  redis.call('SET', LEASE, a[1], 'PX', a[3])
  return 1
end

-- owner
local function unlead(_, a)
  if redis.call('GET', LEASE) ~= a[1] then return 0 end
  return redis.call('DEL', LEASE)
end

-- new generation, ttl in ms: one process at a time builds, and says so again while it does
local function build(_, a)
  if redis.call('SET', BUILDING, a[1], 'NX', 'PX', a[2]) then return 1 end
  if redis.call('GET', BUILDING) ~= a[1] then return 0 end
  return redis.call('PEXPIRE', BUILDING, a[2])
end

-- old generation ('' = none), new generation
local function flip(_, a)
  if (redis.call('GET', GENERATION) or '') ~= a[1] or redis.call('GET', BUILDING) ~= a[2] then return 0 end
  redis.call('SET', GENERATION, a[2])
  redis.call('DEL', BUILDING)
  return 1
end

-- generation, job
local function ask_derived(_, a)
  local p, refused = admit(a[1], '')
  if refused then return refused end
  local fresh = redis.call('ZADD', p .. 'derive', 'NX', now_ms(), a[2])
  if fresh == 1 then ring(p, 'derive') end
  return fresh
end

-- generation, lease in ms; answers the job and how often it was taken, nothing if none is due; the job comes back when
-- its taker does not finish it in time
local function take_derived(_, a)
  local p, refused = admit(a[1], '')
  if refused then return refused end
  local due = redis.call('ZRANGEBYSCORE', p .. 'derive', '-inf', now_ms(), 'LIMIT', 0, 1)
  if not due[1] then return {} end
  redis.call('ZADD', p .. 'derive', now_ms() + tonumber(a[2]), due[1])
  return { due[1], redis.call('HINCRBY', p .. 'derive_tries', due[1], 1) }
end

-- generation, job, lease in ms: the taker still works on it
local function hold_derived(_, a)
  local p, refused = admit(a[1], '')
  if refused then return refused end
  return redis.call('ZADD', p .. 'derive', 'XX', 'CH', now_ms() + tonumber(a[3]), a[2])
end

-- generation, job, hash, field, value
local function finish_derived(_, a)
  local p, refused = admit(a[1], '')
  if refused then return refused end
  redis.call('ZREM', p .. 'derive', a[2])
  redis.call('HDEL', p .. 'derive_tries', a[2])
  redis.call('HSET', p .. a[3], a[4], a[5])
  ring(p, 'derive')
  return 1
end

redis.register_function('lth_enqueue', enqueue)
redis.register_function('lth_log', log)
redis.register_function('lth_commit', commit)
redis.register_function('lth_announce', announce)
redis.register_function('lth_beat', beat)
redis.register_function('lth_show_cluster', show_cluster)
redis.register_function('lth_put', put)
redis.register_function('lth_reserve', reserve)
redis.register_function('lth_release', release)
redis.register_function('lth_name_tickets', name_tickets)
redis.register_function('lth_lead', lead)
redis.register_function('lth_renew', renew)
redis.register_function('lth_unlead', unlead)
redis.register_function('lth_build', build)
redis.register_function('lth_flip', flip)
redis.register_function('lth_ask_derived', ask_derived)
redis.register_function('lth_take_derived', take_derived)
redis.register_function('lth_hold_derived', hold_derived)
redis.register_function('lth_finish_derived', finish_derived)
