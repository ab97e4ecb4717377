"""The Gradwire service: requests in, losses and gradients out."""
