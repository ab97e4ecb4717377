"""Loss requests a second over HTTP on loopback: `python -m benchmarks.http`."""
