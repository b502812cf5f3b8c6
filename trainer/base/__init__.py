"""The base of an order: a Hugging Face folder, its model, tokenizer and tensors; imports torch."""
