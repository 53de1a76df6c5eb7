"""How long one call may hold Redis."""
