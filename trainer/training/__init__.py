"""Training of a model on texts or chats, by an adapter or all weights; imports torch."""
