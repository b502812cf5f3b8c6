"""The pages of the chat, and the data of their scripts."""
