"""Work on versions of assistants that needs embeddings: writing, building and trying them."""
