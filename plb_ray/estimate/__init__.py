"""From forecast rates to load: cost per message and the margin that makes sums over order params honest."""
