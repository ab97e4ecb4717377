"""The services for MLServer."""
