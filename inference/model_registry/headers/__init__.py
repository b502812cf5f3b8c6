"""Reads and bounds the headers of model files, without numpy and without running anything."""
