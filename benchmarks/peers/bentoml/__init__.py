"""The service for BentoML."""
