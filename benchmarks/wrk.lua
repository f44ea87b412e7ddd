-- Posts one request after another for an image (or for COUNT images), each with a seed of its own.
--   wrk [options] --script wrk.lua URL -- MODEL COUNT ACCEPT CONNECTIONS KEY
-- done() prints one line of JSON, which wrk.py reads.

local FIRST, APART = 1000000000, 100000000 -- ten digits in every seed: one Content-Length for all

local threads = {}

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

function init(arguments)
  local model, count, accept = arguments[1], tonumber(arguments[2]), arguments[3]
  connections = tonumber(arguments[4])
  seed, step = FIRST + number * APART, count
  after = count > 1 and string.format(',"count":%d}', count) or "}"
  local body = string.format('{"model":"%s","seed":%d%s', model, FIRST, after)
  local headers = { ["Content-Type"] = "application/json", ["Accept"] = accept }
  if arguments[5] ~= "" then headers["Authorization"] = "Bearer " .. arguments[5] end
  -- wrk.format for each request would cost the client more than all the rest of the request.
  local whole = wrk.format("POST", nil, headers, body)
  before = whole:sub(1, -(#after + 11))
end

function request()
  local asked = seed
  seed = seed + step
  return before .. string.format("%d", asked) .. after
end

-- Microseconds -> how many requests took them, as they were measured, and those values, sorted.
--
-- wrk 4 "corrects" what it measured: with `expected` microseconds for a request of a connection on
-- average, a request of n > 2 * expected is counted again at n - expected, n - 2 * expected ...
-- > expected, as if a client had gone on sending at a fixed pace.  These clients do not, and one
-- rare long wait would become hundreds.  Only longer requests add to a count, so that taking away
-- from the longest on undoes it exactly; wrk.py checks the sum.
local function measured(latency, summary)
  local counts, values = {}, {}
  for i = 1, #latency do
    local value, count = latency(i)
    counts[value], values[i] = count, value
  end
  local rounds = math.floor(summary.requests / connections)
  if rounds > 0 then
    local expected = math.floor(summary.duration / rounds)
    for i = #values, 1, -1 do
      local n = values[i]
      if n < 2 * expected then break end
      local m = n - expected
      while counts[n] > 0 and m > expected do
        counts[m] = counts[m] - counts[n]
        m = m - expected
      end
    end
  end
  return counts, values
end

function done(summary, latency)
  connections = threads[1]:get("connections")
  local counts, values = measured(latency, summary)
  local recorded, longest = 0, 0
  for _, value in ipairs(values) do
    recorded = recorded + counts[value]
    if counts[value] > 0 then longest = value end
  end
  local function percentile(p) -- nearest rank
    local seen = 0
    for _, value in ipairs(values) do
      seen = seen + counts[value]
      if seen >= p / 100 * recorded then return value end
    end
    return 0
  end
  local errors = summary.errors
  print(string.format(
    '{"requests":%d,"recorded":%d,"errors":%d,"non_2xx":%d,"microseconds":%d,"bytes":%d,'
      .. '"p50":%d,"p99":%d,"max":%d}',
    summary.requests, recorded, errors.connect + errors.read + errors.write + errors.timeout,
    errors.status, summary.duration, summary.bytes, percentile(50), percentile(99), longest))
end
