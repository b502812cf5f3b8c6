"""Scores of a Hugging Face folder on task sets, and calibrators of its scores; imports torch."""
