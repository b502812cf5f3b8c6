"""Why an engine cannot be reached, in a line for operators."""

import os
import ssl

from audit import outgoing_tls

_CERTIFICATE = "its certificate is not accepted"


def why_away(problem: BaseException) -> str:
    """Without the engine's address, which stands beside it."""
    while problem.__cause__ is not None:  # aiohttp wraps what TLS or the system said
        problem = problem.__cause__
    if isinstance(problem, ssl.SSLCertVerificationError):
        return f"{_CERTIFICATE}: {problem.verify_message.rstrip('.')}"
    if isinstance(problem, outgoing_tls.WrongFiles):
        return str(problem)
    if isinstance(problem, ssl.SSLError):
        return f"no TLS: {(problem.reason or 'it failed').replace('_', ' ').lower()}"
    if isinstance(problem, TimeoutError):
        return "no connection: timed out"
    number = problem.errno if isinstance(problem, OSError) else None
    if number and number > 0:
        return f"no connection: {os.strerror(number).lower()}"
    return f"no connection: {str(problem) or type(problem).__name__}"
