"""Prompt templates: their texts, their variables, and how both become a prompt. Knows no database."""
