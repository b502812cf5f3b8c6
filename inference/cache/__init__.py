"""Answers to deterministic requests, cached for their tenant: in the process and in Redis."""
