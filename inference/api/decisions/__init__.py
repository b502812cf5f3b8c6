"""The REST front end of decisions."""
