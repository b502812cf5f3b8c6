"""A simulation of customer service: made-up persons with goals talk to a running platform."""
