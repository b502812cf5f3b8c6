"""Versions of models in the management API: a tenant's, and all of them for operators."""
