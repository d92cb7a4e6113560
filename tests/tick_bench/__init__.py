"""How long a tick takes, from observing to the plan, at size."""
