"""The services for LitServe."""
