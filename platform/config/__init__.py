"""What all processes begin with."""

import gc

# Objects between two collections of the youngest. Python's own 700 is for programs that allocate
# little: here nearly all that a request makes is gone by its count of references when it ends, and
# what modules make as they load stays.
gc.set_threshold(20_000, 20, 50)
