"""The service for LitServe."""
