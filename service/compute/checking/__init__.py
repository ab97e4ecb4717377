"""Another implementation's loss and gradients against the service's own: how far off, and by what known fault."""
