"""Answers to deterministic requests, kept for their tenant: in the process and in Redis."""
