"""Invites a further operator; the first one signs up by the first-run link."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from tenants.management.commands._json_command import Answer, PersonCommand
from tenants.models import Link, User
from tenants.models.link import Purpose
from tenants.roles import Profile


class Command(PersonCommand):
    help = "Makes a link with which a person becomes an operator, once, within a week."
    sentence = "{email}: {link}"

    def answer(self, **options: Any) -> Answer:
        email = options["email"].strip().lower()
        validate_email(email)
        _refuse_if_impossible(email)
        link = Link.issue(Purpose.FIRST_RUN, by="command:create_operator", email=email)
        return {"email": email, "link": link}


def _refuse_if_impossible(email: str) -> None:
    """Raises ValidationError for an operator, and for a member of a tenant that excludes them."""
    person = User.objects.filter(email=email).first()
    if person and person.is_operator:
        raise ValidationError(f"{email} is an operator already")
    if person and person.memberships.filter(tenant__profile=Profile.MLPS).exists():
        raise ValidationError(f"{email} belongs to a tenant that keeps operators out (mlps-l3)")
