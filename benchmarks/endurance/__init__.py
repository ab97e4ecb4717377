"""Overload and long runs: what the two scripts beside this package share."""
