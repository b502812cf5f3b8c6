"""One finding of `forebay check`."""

from dataclasses import dataclass

OK, WARN, FAIL = "ok", "warn", "fail"
RUN = "forebay run"  # the subject of findings that stop that subcommand and no other


@dataclass(frozen=True)
class Finding:
    """A line of the answer. `says` describes the state, and what to do about a bad one."""

    subject: str
    state: str
    says: str


def ok(subject: str, says: str) -> Finding:
    return Finding(subject, OK, says)


def warn(subject: str, says: str) -> Finding:
    return Finding(subject, WARN, says)


def fail(subject: str, says: str) -> Finding:
    return Finding(subject, FAIL, says)
