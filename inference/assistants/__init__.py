"""Assistants: what one is made of, how it understands a message, and which step follows.

Nothing here reads a database or asks an engine.
"""
