"""The checks, a module per group. Each module has a `TABLE`; each check is one promise of the contract."""
