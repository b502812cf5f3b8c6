"""People whom a tenant's data is about and who are no members."""
