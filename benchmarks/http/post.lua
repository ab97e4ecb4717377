-- Posts one body, read from the file named by the first argument, and prints the run's figures as one line of JSON:
-- exact microseconds and counts, where wrk's own text rounds them to units.
wrk.method = "POST"

function init(args)
   local file = assert(io.open(args[1], "rb"))
   wrk.body = file:read("*a")
   file:close()
end

function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format(
      'figures {"requests": %d, "microseconds": %d, "p50_us": %.1f, "p99_us": %.1f, ' ..
      '"errors": {"connect": %d, "read": %d, "write": %d, "timeout": %d, "status": %d}}\n',
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
      errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
