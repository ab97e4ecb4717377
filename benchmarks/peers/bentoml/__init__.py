"""The services for BentoML."""
