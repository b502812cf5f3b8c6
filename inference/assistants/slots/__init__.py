"""Values of slots in a message, by rules, in English and Chinese."""
