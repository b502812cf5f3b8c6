"""Drills: clients ask without pause while something breaks, and the record is compared with what
they heard (docs/operations/disaster-recovery.md).
"""
