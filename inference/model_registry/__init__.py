"""The registry of model versions: their files, where they come from, and what may serve."""
