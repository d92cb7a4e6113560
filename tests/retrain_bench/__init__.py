"""What a retraining costs those who serve: the latency of a tick's forecasts, with and without one running."""
