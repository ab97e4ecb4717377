"""Servers that a user would pick instead, each with the same loss in an environment of its own."""
