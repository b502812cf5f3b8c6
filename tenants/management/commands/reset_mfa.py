"""Removes a person's second factors, after the loss of a phone and the recovery codes."""

from typing import Any

from tenants.accounts import second_factor_policy
from tenants.management.commands._json_command import Answer, PersonCommand, person_named


class Command(PersonCommand):
    help = "Takes a person's second factors away and ends their sessions; the password stays."

    def answer(self, **options: Any) -> Answer:
        person = person_named(options["email"])
        return {
            "email": person.email,
            "factors": second_factor_policy.reset(person, by="command:reset_mfa"),
            "must_enrol": second_factor_policy.requires(person),
        }

    def text(self, answer: Answer) -> str:
        duty = "must add one at the next sign-in" if answer["must_enrol"] else "may add one"
        return f"{answer['email']}: {answer['factors']} second factors removed; they {duty}."
