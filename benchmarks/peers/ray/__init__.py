"""The service for Ray Serve."""
