"""The platform that a container joins."""

from tests.e2e.conftest import mock, session_mock, staged

__all__ = ["mock", "session_mock", "staged"]
