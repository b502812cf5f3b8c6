"""Reads documents into sections, and cuts these into passages. Knows no database."""
