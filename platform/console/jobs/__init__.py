"""Pages of a tenant's jobs: the list, one job with its live curves, and a form for each kind."""
