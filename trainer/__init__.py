"""The trainer: a process in an environment of its own, which Forebay starts.

It imports nothing of Forebay or Django, and Forebay imports nothing of it.
"""
