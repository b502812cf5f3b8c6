class Problem(Exception):
    """Ends the run. Its text is one line for a person and says what to do."""
