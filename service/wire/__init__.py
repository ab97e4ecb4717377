"""Bytes to requests and results to bytes, one module a form."""
