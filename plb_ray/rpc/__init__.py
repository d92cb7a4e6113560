"""The one door to gRPC: the contract `plb.v1`, its generated code, servers' and clients' plumbing, errors as statuses."""
