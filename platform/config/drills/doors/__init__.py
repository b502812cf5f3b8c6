"""The front doors as a client sees them: a module for each."""
