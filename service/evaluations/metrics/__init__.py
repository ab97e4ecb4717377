"""Metrics of predictions, from counts and exact sums alone."""
