"""A smaller model out of a larger one: layers, words and width cut, then taught by the larger."""
