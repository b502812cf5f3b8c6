"""Idempotency keys under which lines of a batch become requests (inference/models)."""


def key_of(number: int) -> bytes:
    return number.to_bytes(4, "big")


def number_of(key: bytes | memoryview) -> int:
    return int.from_bytes(key, "big")
