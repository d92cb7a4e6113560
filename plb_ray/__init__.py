"""The core: domain types, control loop, migration protocol, history, estimates, journal, gRPC, queues, simulation, Ray."""
