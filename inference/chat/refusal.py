"""Refusals of a page's requests."""


class Refused(Exception):
    """`code` is one of problems.py."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Dismissed(Exception):
    """Signed out, or no longer a member who may chat. The socket closes with this code."""

    def __init__(self, close_code: int) -> None:
        super().__init__(close_code)
        self.close_code = close_code


SIGNED_OUT, NOT_A_MEMBER, TENANT_CLOSED, TOO_MANY = 4401, 4403, 4423, 4429
AGAIN_LATER = 1013  # RFC 6455's registry
