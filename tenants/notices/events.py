"""The events of notices: their group, their words and the page that they lead to."""

from dataclasses import dataclass

from django.db import models
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class Group(models.TextChoices):
    """A group of events that a person mutes, and a target chooses."""

    QUOTAS = "quotas", _("Quotas at 80 and 100 percent")
    RAISES = "raises", _("Quota increases")
    HOLDS = "holds", _("Legal holds")
    DELETIONS = "deletions", _("Deletion requests")
    KEYS = "keys", _("API keys that end soon")
    REVIEWS = "reviews", _("Reviews and contests of decisions")
    INVITATIONS = "invitations", _("Invitations")
    DELIVERIES = "deliveries", _("Notices that could not be delivered")
    SECURITY = "security", _("Sign-ins, passwords and second factors")


ALWAYS_MAILED = frozenset({Group.SECURITY, Group.INVITATIONS})  # nobody can switch them off
TEST = "notice.test"
_OPEN = _("Open Forebay")


@dataclass(frozen=True, slots=True)
class Words:
    """Title and text, with `%(name)s` for facts. `page` is a page of the console, by its name."""

    group: Group
    title: Promise
    text: Promise
    page: str = ""
    button: Promise = _OPEN


_LOOK = _("Look at it")
EVENTS: dict[str, Words] = {
    "quota.reached": Words(
        Group.QUOTAS,
        _("%(percent)s %% of a quota is used"),
        _("%(tenant)s has used %(used)s of %(limit)s (%(unit)s, window: %(window)s)."),
        "quotas",
        _("Open quotas"),
    ),
    "raise.requested": Words(
        Group.RAISES,
        _("A quota increase waits for approval"),
        _("Asked for in %(tenant)s: %(amount)s more (%(unit)s, window: %(window)s)."),
        "raises",
        _LOOK,
    ),
    "raise.approved": Words(
        Group.RAISES,
        _("A quota increase was approved"),
        _("%(tenant)s has %(amount)s more (%(unit)s, window: %(window)s) until %(expires_at)s."),
        "raises",
        _LOOK,
    ),
    "raise.refused": Words(
        Group.RAISES,
        _("A quota increase was refused"),
        _("Asked for in %(tenant)s: %(amount)s more (%(unit)s, window: %(window)s)."),
        "raises",
        _LOOK,
    ),
    "hold.requested": Words(
        Group.HOLDS,
        _("A legal hold waits for a second person"),
        _("A legal hold was placed in %(tenant)s. It ends unless somebody else approves it."),
        "legal_holds",
        _LOOK,
    ),
    "hold.approved": Words(
        Group.HOLDS,
        _("A legal hold was approved"),
        _("A legal hold in %(tenant)s lasts until %(expires_at)s."),
        "legal_holds",
        _LOOK,
    ),
    "hold.release_requested": Words(
        Group.HOLDS,
        _("The release of a legal hold waits for a second person"),
        _("Somebody asks to release a legal hold in %(tenant)s."),
        "legal_holds",
        _LOOK,
    ),
    "hold.released": Words(
        Group.HOLDS,
        _("A legal hold was released"),
        _("A legal hold in %(tenant)s has ended. Retention deletes what it kept."),
        "legal_holds",
        _LOOK,
    ),
    "deletion.requested": Words(
        Group.DELETIONS,
        _("A deletion request waits for a decision"),
        _("Somebody asks in %(tenant)s for the deletion of data. It is due at %(due_at)s."),
        "deletions",
        _LOOK,
    ),
    "deletion.approved": Words(
        Group.DELETIONS,
        _("A deletion request was approved"),
        _("Data in %(tenant)s is being deleted."),
        "deletions",
        _LOOK,
    ),
    "deletion.refused": Words(
        Group.DELETIONS,
        _("A deletion request was refused"),
        _("Nothing was deleted in %(tenant)s. The page says why."),
        "deletions",
        _LOOK,
    ),
    "deletion.late": Words(
        Group.DELETIONS,
        _("A deletion request is nearly due"),
        _("A deletion request in %(tenant)s is due at %(due_at)s."),
        "deletions",
        _LOOK,
    ),
    "deletion.done": Words(
        Group.DELETIONS,
        _("A deletion is complete"),
        _("A deletion request in %(tenant)s is done. Its certificate is on the page."),
        "deletions",
        _LOOK,
    ),
    "session.new_device": Words(
        Group.SECURITY,
        _("A sign-in from a new device"),
        _(
            "Somebody signed in to your account at %(at)s from the network %(network)s, on a "
            "device that had not done so before. If that was not you, change your password and "
            "end the session."
        ),
        "account",
        _("Open your account"),
    ),
    "password.changed": Words(
        Group.SECURITY,
        _("Your password was changed"),
        _(
            "The password of your account was changed at %(at)s. If that was not you, ask an "
            "administrator at once."
        ),
        "account",
        _("Open your account"),
    ),
    "factor.added": Words(
        Group.SECURITY,
        _("A second factor was added"),
        _(
            "Your account has a new second factor since %(at)s. If that was not you, ask an "
            "administrator at once."
        ),
        "account",
        _("Open your account"),
    ),
    "factor.removed": Words(
        Group.SECURITY,
        _("A second factor was removed"),
        _(
            "A second factor of your account was removed at %(at)s. If that was not you, ask an "
            "administrator at once."
        ),
        "account",
        _("Open your account"),
    ),
    "password.reset": Words(
        Group.SECURITY,
        _("Choose a new password"),
        _(
            "Somebody asked for a new password for your account. The link works once, until "
            "%(expires_at)s. If that was not you, do nothing."
        ),
        button=_("Choose a new password"),
    ),
    "invitation.sent": Words(
        Group.INVITATIONS,
        _("You are invited to %(tenant)s"),
        _("You may join %(tenant)s on Forebay. The link works once, until %(expires_at)s."),
        button=_("Join"),
    ),
    "invitation.accepted": Words(
        Group.INVITATIONS,
        _("An invitation was accepted"),
        _("Somebody has joined %(tenant)s."),
        "members",
        _LOOK,
    ),
    "key.expiring": Words(
        Group.KEYS,
        _("An API key ends soon"),
        _("The key %(name)s of %(tenant)s ends at %(expires_at)s. Rotate it before."),
        "api_keys",
        _("Open API keys"),
    ),
    "operator_key.expiring": Words(
        Group.KEYS,
        _("An operator key ends soon"),
        _("The operator key %(name)s ends at %(expires_at)s. Make another one before."),
        "operator_keys",
        _LOOK,
    ),
    "reviews.waiting": Words(
        Group.REVIEWS,
        _("Decisions wait for a review"),
        _("Reviews that wait in %(tenant)s: %(waiting)s."),
        "reviews",
        _LOOK,
    ),
    "contest.opened": Words(
        Group.REVIEWS,
        _("A decision is contested"),
        _("Somebody contests a decision of %(tenant)s. An answer is due at %(due_at)s."),
        "contests",
        _LOOK,
    ),
    "contest.late": Words(
        Group.REVIEWS,
        _("The answer to a contest is nearly due"),
        _("An answer to a contested decision of %(tenant)s is due at %(due_at)s."),
        "contests",
        _LOOK,
    ),
    "target.failing": Words(
        Group.DELIVERIES,
        _("Notices cannot be delivered"),
        _("Nothing reached the target %(name)s for a day."),
        "notices",
        _LOOK,
    ),
    TEST: Words(
        Group.DELIVERIES,
        _("A test"),
        _("Notices of %(tenant)s reach this place."),
        "notices",
    ),
}
