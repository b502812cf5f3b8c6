"""Reads the text of files that somebody else made, in a process with limits. Knows no database."""
