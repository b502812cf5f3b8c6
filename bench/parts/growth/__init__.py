"""The cost of a request while the platform grows."""
