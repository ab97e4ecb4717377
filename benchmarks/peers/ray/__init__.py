"""The services for Ray Serve."""
