"""The migration protocol: a table of transitions, a pure step, the executor that acts on it, and recovery."""
