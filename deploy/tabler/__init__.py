"""The style sheet of pages: the part of Tabler that they use (`python -m deploy.tabler.trim`)."""
