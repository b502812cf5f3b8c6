"""Pages of versions of models: a tenant's, and all of them for operators."""
