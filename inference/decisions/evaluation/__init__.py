"""Evaluation of a policy on labelled rows, without I/O: figures, intervals, costs, plots."""
