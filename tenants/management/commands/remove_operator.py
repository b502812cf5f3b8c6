from typing import Any

from django.core.management.base import CommandError

from tenants.management.commands._json_command import Answer, PersonCommand
from tenants.models import User


class Command(PersonCommand):
    help = "Takes an operator's power away, at once. The person can sign in still."
    sentence = "{email} is no operator any more."

    def answer(self, **options: Any) -> Answer:
        email = options["email"].strip().lower()
        person = User.objects.filter(email=email, is_operator=True).first()
        if person is None:
            raise CommandError(f"there is no operator {email}")
        person.stop_operating(by="command:remove_operator")
        return {"email": email, "operator": False}
