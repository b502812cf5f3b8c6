"""Prompt templates: their texts and variables, and the prompts made of them."""
