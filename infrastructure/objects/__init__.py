"""Stores of objects: a folder, or a bucket of an S3-compatible service."""
