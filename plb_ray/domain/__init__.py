"""Types that cross a package border, as frozen dataclasses. Nothing here does IO, reads a clock or draws a random number."""
