"""People who are no members: found by their reference, and exported. Deletion requests and legal
holds name them by `person` or `subject` (deletions.py, retention.py).
"""

from typing import Any

from django.http import HttpResponseBase
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers as s
from rest_framework.response import Response

from audit.exports import export_file, portability
from audit.keys.keyring import Barred, Unreadable
from audit.models import Export
from console import downloads
from console.account.reauthentication import may_read_texts
from console.api.acts import Act, listing, shape_of, showing
from console.api.problem import not_found
from console.api.requester import proof_needed
from console.api.resource import Resource
from console.api.strict_input import Row
from console.privacy.people import file_name
from tenants.models import Person
from tenants.models.people.reference import LONGEST_REFERENCE
from tenants.personal_data import people as records
from tenants.roles import Permission as P

REFERENCE_HELP = "The reference by which your programs name a person who is no member."


class PersonShape(Row):
    stored = s.SerializerMethodField(help_text="How many rows of each kind name the person.")
    EXAMPLE = {"stored": [{"name": "decisions", "count": 3}]}

    def get_stored(self, person: Person) -> list[dict[str, Any]]:
        rows = records.stored_rows(person)
        return [{"name": each.name, "count": each.count} for each in rows]


PersonSearch = shape_of(
    "PersonSearch",
    reference=s.CharField(max_length=LONGEST_REFERENCE, help_text=REFERENCE_HELP),
)


class People(Resource):
    """Nobody lists them: a tenant knows its people by their references."""

    shape = PersonShape
    volatile = ("stored",)

    def rows(self) -> Any:
        return self.url_tenant.people.all()

    @Act(P.VIEW_PEOPLE, takes=PersonSearch)
    def find(self, request: Any, **path: Any) -> Response:
        """Find the person of a reference.

        The search is on record, without the reference.
        """
        person = records.find(self.url_tenant, self.body()["reference"], by=self.actor)
        if person is None:
            raise not_found()
        return self.respond(person)

    retrieve = showing(P.VIEW_PEOPLE, "Show a person who is no member, by their pseudonym.")


class PersonExportShape(Row):
    state = s.ChoiceField((export_file.MAKING, export_file.READY, export_file.FAILED))
    rows = s.IntegerField()
    bytes = s.IntegerField()
    sha256 = s.CharField(help_text="SHA-256 of the file; empty until it is ready.")
    problem = s.CharField()
    expires_at = s.DateTimeField()
    EXAMPLE = {
        "state": "ready",
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "problem": "",
    }


class PersonExports(Resource):
    shape = PersonExportShape
    volatile = ("state", "rows", "bytes", "sha256", "problem")
    refusals = {
        Barred: (409, "restricted", _("Processing of this person's data is restricted.")),
    }

    def rows(self) -> Any:
        owner = {"tenant_id": self.url_tenant.id, "subject_id": self._person().subject_id}
        return Export.objects.filter(kind=portability.KIND, **owner)

    list = listing(P.VIEW_PROMPTS, "List the exports of a person's data, finished or not.")
    retrieve = showing(P.VIEW_PROMPTS, "Show the progress of an export of a person's data.")

    @Act(P.VIEW_PROMPTS)
    def create(self, request: Any, **path: Any) -> Response:
        """Start an export of all data of a person, for that person.

        This is on record. A job makes the file: poll until its state is `ready`.
        """
        person = self._person()
        export = portability.ask(self.url_tenant.id, person.subject_id, by=self.actor)
        return self.respond(export, 201)

    @Act(P.VIEW_PROMPTS, files=("application/zip",))
    def file(self, request: Any, **path: Any) -> HttpResponseBase:
        """Download an export of a person's data.

        This is on record. People must have confirmed their identity, by their second factor if they
        have one, within the last ten minutes.
        """
        export: Export = self.row()
        if self.who.user and not may_read_texts(request._request):
            raise proof_needed()
        try:
            pieces = portability.download(export, by=self.actor)
        except Barred:
            raise
        except (FileNotFoundError, Unreadable):
            raise not_found() from None
        return downloads.stream(pieces, self.scope, file_name(export), "application/zip")

    def _person(self) -> Person:
        person = self.url_tenant.people.filter(pk=self.kwargs["person"]).first()
        if person is None:
            raise not_found()
        return person
