-- The load of another script, and its answers by kind as one line of JSON.
-- SCRIPT=… wrk … -s overload.lua URL -- ARGUMENTS OF SCRIPT

dofile(os.getenv("SCRIPT"))
accepted, refused, other = 0, 0, 0 -- global: `done` asks each thread for them
local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function response(status, headers)
  if status == 200 or status == 201 then
    accepted = accepted + 1
  elseif status == 503 and headers["retry-after"] then
    refused = refused + 1
  else
    other = other + 1
  end
end

function done(summary, latency)
  local sums = { accepted = 0, refused = 0, other = 0 }
  for _, thread in ipairs(threads) do
    for kind in pairs(sums) do sums[kind] = sums[kind] + thread:get(kind) end
  end
  local errors = summary.errors
  io.write(string.format(
    '{"seconds": %f, "accepted": %d, "refused": %d, "other": %d, "p50": %f, "p99": %f, "failed": %d}\n',
    summary.duration / 1e6, sums.accepted, sums.refused, sums.other,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.timeout
  ))
end
