"""A module for each kind of file: `read` returns what a model gets of it.

`load` imports what `read` imports as it goes along, while files can still be opened.
"""
