"""What comes from outside: event calendars, and samples of arrivals that other systems have stored."""
