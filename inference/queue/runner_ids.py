"""Ids of runners in Redis. They begin with the engine, so that a page can count its requests."""

import secrets


def new_id(engine: str) -> str:
    return f"{engine}-{secrets.token_hex(4)}"


def engine_of(runner: bytes) -> str:
    return runner.rpartition(b"-")[0].decode()
