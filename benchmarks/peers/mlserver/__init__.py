"""The service for MLServer."""
