"""The HTTP service under load: throughput, latency, cold start, memory."""
