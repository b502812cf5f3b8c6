"""What becomes a line of a log: never a key, wherever somebody put it."""

import logging

from tenants import secret_keys


class WithoutKeys(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return secret_keys.hidden(super().format(record))
