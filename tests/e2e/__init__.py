"""The dashboard end to end: `make e2e` starts the real service with embedded shards and real traffic, and drives a browser.

The files are not named test_*, so `make test` leaves them out; its slice is tests/service/test_dashboard_pages.py.
"""
