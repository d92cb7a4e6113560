"""The packaged sample: departures from New York City's airports in 2013, and the script that made it."""
