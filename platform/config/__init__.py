"""The configuration and the processes of the platform. Importing it sets the garbage collector."""

import gc

# Allocations between two collections of the youngest generation. Python's 700 is for programs that
# allocate little: here reference counts free nearly all of a request's objects when it ends, and
# those of loaded modules stay.
gc.set_threshold(20_000, 20, 50)
