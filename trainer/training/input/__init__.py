"""What is trained on: lines of texts or chats, their tokens in files, and their order."""
