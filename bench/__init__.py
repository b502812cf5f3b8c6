"""Measures Forebay against its engine and against LiteLLM. Run it with `make bench`."""
