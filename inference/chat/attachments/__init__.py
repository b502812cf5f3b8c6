"""Files that go with the questions of a chat."""
