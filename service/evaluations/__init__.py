"""Evaluation runs: what batches add up to, and where it is kept."""
