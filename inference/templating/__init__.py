"""Prompt templates: their texts and variables, and the prompts that these make."""
