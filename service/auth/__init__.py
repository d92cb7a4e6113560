"""Who calls and what they may do: roles, API tokens, tokens of an issuer, logins, and how much each may ask. No HTTP."""
