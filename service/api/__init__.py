"""HTTP API v1 and the dashboard's static files, as a FastAPI application over any `Balancer`."""
