"""Everything a person or a machine starts or calls: CLI, HTTP API, dashboard, demo, and the wiring of the parts."""
