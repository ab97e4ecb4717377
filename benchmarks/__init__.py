"""Speed, measured against a naive service and against the limit of the HTTP server."""
