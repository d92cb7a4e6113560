"""How long capacity questions take."""
