"""TLS 1.3 of what this platform listens with: docs/operations/tls.md."""
