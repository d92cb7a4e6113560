"""Generated code of the contract `plb.v1`; `make proto` makes it anew."""
