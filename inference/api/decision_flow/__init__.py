"""Makes decisions for the front ends: from a request to a decision on record, within its time."""
