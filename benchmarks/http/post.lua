-- Posts bodies in turn, given as pairs of a path and a file, and prints the run's figures as one line of JSON: exact
-- microseconds and counts, where wrk's own text rounds them to units.
wrk.method = "POST"

local function read(name)
   local file = assert(io.open(name, "rb"))
   local body = file:read("*a")
   file:close()
   return body
end

function init(args)
   wrk.path, wrk.body = args[1], read(args[2])
   if #args == 2 then return end -- wrk then builds the one request only once
   local requests = {}
   for place = 1, #args, 2 do
      requests[#requests + 1] = wrk.format(nil, args[place], nil, read(args[place + 1]))
   end
   local last = 0
   function request()
      last = last % #requests + 1
      return requests[last]
   end
end

function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format(
      'figures {"requests": %d, "microseconds": %d, "p50_us": %.1f, "p99_us": %.1f, ' ..
      '"errors": {"connect": %d, "read": %d, "write": %d, "timeout": %d, "status": %d}}\n',
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
      errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
