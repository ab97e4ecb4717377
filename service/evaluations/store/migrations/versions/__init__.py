"""One module a migration, each on top of the one before."""
