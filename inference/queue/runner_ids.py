"""What a runner is called in Redis: by its engine, so that a page can say how full that is."""

import secrets


def new_id(engine: str) -> str:
    return f"{engine}-{secrets.token_hex(4)}"


def engine_of(runner: bytes) -> str:
    return runner.rpartition(b"-")[0].decode()
