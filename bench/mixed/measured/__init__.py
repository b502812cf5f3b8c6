"""A short day on this machine: real requests, embedded engines and the real trainer."""
