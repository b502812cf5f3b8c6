"""Evaluations without I/O: task sets, statistics, figures, reports and their plots."""
