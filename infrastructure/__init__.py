"""Redis, PostgreSQL, outgoing TLS, metrics and the version: every other package builds on them.

Nothing here knows a tenant, a request or an event of the trail.
"""
