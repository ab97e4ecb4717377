"""How the service starts, runs as one process or several, and ends."""
