"""Jobs before they begin: the parameters that people set, and what a job is likely to take."""
