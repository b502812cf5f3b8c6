"""Reasons, in a line for operators, why an engine cannot be reached."""

import os
import re
import ssl

from infrastructure import networks, outgoing_tls

_CERTIFICATE = "its certificate is not accepted"
NO_ANSWER = "it gives no answer: the log of the process that asked says more"
# Causes that an operator may read about an address that an operator has chosen. All others become
# NO_ANSWER, or an engine could be pointed at each port of a network, to learn which are open.
_SHOWN = re.compile(
    r"it answered \d+|it says that it is in trouble|it answers for its health .+"
    r"|(its|an engine's) address .+|[a-z_]+"
)


def without_ports(cause: str) -> str:
    """Returns the cause, or NO_ANSWER for one that tells open, closed and filtered ports apart."""
    return cause if _SHOWN.fullmatch(cause) else NO_ANSWER


def why_away(problem: BaseException) -> str:
    """Returns the reason without the engine's address, which is shown beside it."""
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
    if isinstance(problem, networks.AddressRefused):
        return str(problem)
    number = problem.errno if isinstance(problem, OSError) else None
    if number and number > 0:
        return f"no connection: {os.strerror(number).lower()}"
    return f"no connection: {str(problem) or type(problem).__name__}"
