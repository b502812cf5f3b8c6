"""Drills of failures as evidence: their kinds, their signed report, the check that looks at it."""
