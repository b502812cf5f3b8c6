"""Loads Forebay once, and forks each process of a host from what is loaded.

The supervisor starts it first and asks for each process over a socket (supervisor/forking.py). A
forked process becomes the supervisor's own child. `make run` starts faster by it, and the processes
share the memory of all that is loaded.

__main__   loads, and forks         request      what the supervisor asks for
loading    the modules, in steps    after_fork   makes a fork what `python -m` would have started
"""
