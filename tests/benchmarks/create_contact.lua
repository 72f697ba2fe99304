-- The bodies of create-contact for wrk, and what became of them as one line of JSON.
-- wrk … -s create_contact.lua URL -- TOKEN[,TOKEN …] RUN (0 to 99: each run has phones of its own)
-- With several tokens, those of several tenants, the tenants take turns.

local headers, run, sent = {}, 0, 0 -- headers: one table for each token
wrong_answers = 0 -- global: `done` asks each thread for it
local threads = {}
local names = {[0] = "anna", "bernard", "chloe", "david", "emma", "fabrice", "gael", "hugo"}
local tags = {}
for i = 0, 49 do tags[i] = "tag-" .. i end

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  for token in string.gmatch(args[1], "[^,]+") do
    table.insert(headers, { Authorization = "Bearer " .. token, ["Content-Type"] = "application/json" })
  end
  run = tonumber(args[2])
  math.randomseed(run)
end

function request()
  local n
  if sent > 0 and math.random(5) == 1 then
    n = math.random(sent) -- one that was sent before: a repeat, with another name
  else
    sent = sent + 1
    n = sent
  end
  -- Spread over all there are, as those of people are, and not one behind the other.
  local phone = string.format("+33 6 %08d", (run * 1000000 + n) * 48271 % 100000000)
  local body = string.format(
    '{"phone": "%s", "name": "Ann Smith %d", "email": "%s%d@example.com", '
      .. '"tags": ["%s", "%s"], "metadata": {"shopify_id": "%d", "lifetime_value": %d.5}}',
    phone, math.random(1000000), names[n % 8], n, tags[n % 50], tags[(n * 7 + 1) % 50], n, n % 1000
  )
  return wrk.format("POST", nil, headers[n % #headers + 1], body)
end

function response(status)
  if status ~= 201 then wrong_answers = wrong_answers + 1 end
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
