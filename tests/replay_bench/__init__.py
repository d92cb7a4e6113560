"""What prediction saves, and how long a replay takes."""
