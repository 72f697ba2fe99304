-- The bodies of an action that reads for wrk, and what became of them as one line of JSON.
-- wrk … -s get_contact.lua URL -- TOKEN BODY NUMBER (BODY with a place such as %07d for a number
-- from 0 to NUMBER - 1)

local headers, template, number = {}, "", 0
wrong_answers = 0 -- global: `done` asks each thread for it
local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  headers["Authorization"] = "Bearer " .. args[1]
  headers["Content-Type"] = "application/json"
  template, number = args[2], tonumber(args[3])
end

function request()
  local body = string.format(template, math.random(number) - 1)
  return wrk.format("POST", nil, headers, body)
end

function response(status)
  if status ~= 200 then wrong_answers = wrong_answers + 1 end
end

function done(summary, latency)
  local bad = 0
  for _, thread in ipairs(threads) do bad = bad + thread:get("wrong_answers") end
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "wrong": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3,
    bad + errors.connect + errors.read + errors.write + errors.timeout
  ))
end
