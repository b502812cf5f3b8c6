"""One line of the answer."""

from dataclasses import dataclass

OK, WARN, FAIL = "ok", "warn", "fail"
RUN = "forebay run"  # the subject of what stops that subcommand and no other


@dataclass(frozen=True)
class Finding:
    """`says`: what is there; where it is no good, what to do."""

    subject: str
    state: str
    says: str


def ok(subject: str, says: str) -> Finding:
    return Finding(subject, OK, says)


def warn(subject: str, says: str) -> Finding:
    return Finding(subject, WARN, says)


def fail(subject: str, says: str) -> Finding:
    return Finding(subject, FAIL, says)
