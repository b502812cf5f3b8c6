"""Records of sign-ins, refused sign-ins and sign-outs."""

from typing import Any

from django.http import HttpRequest

from audit.actions import Action
from audit.trail.truncated_address import network
from console.client_network import client_ip
from infrastructure.metrics import Counter, Label
from tenants.accounts import person_acts
from tenants.models import User

_OUTCOMES = {
    Action.SESSION_LOGIN: "success",
    Action.SESSION_DENIED: "denied",
    Action.SESSION_LOCKED: "locked",
}
SIGN_INS = Counter(
    "forebay_sign_ins_total",
    "Tries to sign in, by their outcome; `locked`: too many wrong ones have locked an account",
    Label.of("outcome", *_OUTCOMES.values()),
)


def record(
    action: Action, request: HttpRequest, user: User | None, detail: dict[str, Any] | None = None
) -> None:
    if outcome := _OUTCOMES.get(action):
        SIGN_INS.of(outcome).value += 1
    success = action not in (Action.SESSION_DENIED, Action.SESSION_LOCKED)
    net = network(client_ip(request))
    person_acts.record(action, user, success=success, client_net=net, detail=detail)


def record_locked(request: HttpRequest, user: User | None, *, just_now: bool) -> None:
    """Record a try that was not evaluated, and the lock itself at the first such try."""
    if just_now:
        record(Action.SESSION_LOCKED, request, user)
    record(Action.SESSION_DENIED, request, user, {"why": "locked"})
