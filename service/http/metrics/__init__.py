"""What an operator sees: counted in plain Python, summed over the processes, told to Prometheus at each scrape."""
