"""The pictures of README and docs, taken from a platform that runs: `make screenshots`."""
