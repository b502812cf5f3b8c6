"""Checkpoints: all that a run needs to go on exactly, whole or not there."""
