"""System prompts and parameters of conversations, and presets of them."""
