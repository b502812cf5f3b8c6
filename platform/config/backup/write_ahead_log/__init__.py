"""The write-ahead log: watched, received and shipped to the store."""
