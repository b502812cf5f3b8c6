"""Versions of a data set: uploads in pieces, figures, samples and whole texts."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponseBase
from rest_framework import serializers as s
from rest_framework.response import Response

from audit.retention.legal_hold import OnHold
from audit.trail.record import LONGEST_REASON
from console import downloads
from console.account.reauthentication import may_read_texts
from console.api.acts import Act, listing, shape_of, showing
from console.api.own_files import own_file
from console.api.pieces import PieceShape, add_piece
from console.api.problem import first_or_404
from console.api.requester import proof_needed
from console.api.resource import Resource
from console.api.strict_input import Row, Shape
from console.data_sets.words import ON_HOLD, STORAGE_FULL, TOO_LARGE, UPLOAD_IS_OVER
from inference.data_sets import deleting, reading, uploading
from inference.data_sets.storage_limit import StorageFull, TooLarge
from inference.models import (
    DataSet,
    DataSetFormat,
    DataSetSource,
    DataSetState,
    DataSetVersion,
)
from tenants.roles import Permission as P


class DataSetVersionShape(Row):
    number = s.IntegerField()
    state = s.ChoiceField(DataSetState.choices)
    origin = s.ChoiceField(DataSetSource.choices, source="source")
    format = s.ChoiceField(DataSetFormat.choices, source="form")
    made_from = s.UUIDField(source="parent_id", allow_null=True, help_text="An earlier version.")
    job = s.UUIDField(source="made_by_job", allow_null=True, help_text="The job that made it.")
    rows = s.IntegerField()
    held_out_rows = s.IntegerField()
    people = s.IntegerField(source="people.count", help_text="Number of people in it.")
    traces_people = s.BooleanField(
        help_text="False: rows do not say whose they are; the erasure of one person empties it."
    )
    bytes = s.IntegerField(source="stored_bytes")
    purged_rows = s.IntegerField(help_text="Rows of erased people, which are gone.")
    purged_at = s.DateTimeField(allow_null=True)
    problem = s.CharField(help_text="A code, of a version that failed.")
    report = s.DictField(help_text="Figures and codes, no texts.")
    created_by = s.CharField()
    ready_at = s.DateTimeField(allow_null=True)
    EXAMPLE = {
        "number": 1,
        "state": "ready",
        "rows": 1200,
        "people": 4,
        "problem": "",
        "report": {"read": 1201, "left_out": {"no_assistant": 1}},
    }


class NewDataSetVersion(Shape):
    format = s.ChoiceField(
        DataSetFormat.choices,
        help_text="`chats` and `texts` are JSON lines, `markdown` is a ZIP, a tar or a page.",
    )
    file = s.CharField(
        max_length=40,
        required=False,
        help_text="An own file of `/v1/files`; without it, pieces follow.",
    )
    EXAMPLE = {"format": "chats"}


class NewDataSetPiece(PieceShape):
    EXAMPLE = {"number": 0, "content": "eyJ0ZXh0IjogIndlaXIifQo="}


Why = shape_of("DataSetReading", reason=s.CharField(max_length=LONGEST_REASON))
SampleShape = shape_of("DataSetSample", text=s.CharField(), is_whole=s.BooleanField())


class DataSetSamples(Shape):
    samples = s.ListField(child=SampleShape())
    EXAMPLE = {"samples": [{"text": "user: Where is it?", "is_whole": True}]}


class DataSetVersions(Resource):
    shape = DataSetVersionShape
    lookup_field = "number"
    orderings = ("-number", "number")
    volatile = ("state", "rows", "held_out_rows", "people", "bytes", "report", "ready_at")
    refusals = {
        OnHold: (409, "on_hold", ON_HOLD),
        TooLarge: (413, "too_large", TOO_LARGE),
        StorageFull: (409, "storage_full", STORAGE_FULL),
        uploading.NotUploading: (409, "conflict", UPLOAD_IS_OVER),
    }

    def rows(self) -> QuerySet[DataSetVersion]:
        versions = DataSetVersion.objects.present().filter(data_set=self._data_set())
        return versions.select_related("data_set")

    list = listing(P.VIEW_DATA_SETS, "List the versions of a data set.")
    retrieve = showing(P.VIEW_DATA_SETS, "Show a version of a data set, with its report.")

    @Act(P.MANAGE_DATA_SETS, takes=NewDataSetVersion)
    def create(self, request: Any, **path: Any) -> Response:
        """Add a version: from a file of `/v1/files`, or as an upload in pieces.

        Rows of a person have a field `person`: a pseudonym of the trail, or a member's address.
        """
        data_set, fields = self._data_set(), self.body()
        form = DataSetFormat(fields["format"])
        if "file" in fields:
            file = own_file(self, "file", fields["file"])
            version = uploading.from_file(data_set, file, form, by=self.actor)
        else:
            version = uploading.begin(data_set, form, by=self.actor)
        return self.respond(version, 201, at=version.number)

    @Act(P.MANAGE_DATA_SETS)
    def destroy(self, request: Any, **path: Any) -> Response:
        """Delete a version. Models that were trained on it stay."""
        deleting.delete_version(self.row_to_change(), by=self.actor)
        return Response(status=204)

    @Act(P.MANAGE_DATA_SETS, takes=NewDataSetPiece)
    def pieces(self, request: Any, **path: Any) -> Response:
        """Add a piece of an upload. Pieces come in order; the last one may be sent again."""
        return add_piece(self, uploading)

    @Act(P.MANAGE_DATA_SETS)
    def finish(self, request: Any, **path: Any) -> Response:
        """End an upload. It is read in the background: poll until its state is `ready`."""
        version = self.row()
        uploading.finish(version)
        return self.respond(version)

    @Act(P.VIEW_PROMPTS, takes=Why, gives=DataSetSamples)
    def samples(self, request: Any, **path: Any) -> Response:
        """Read some rows of a version.

        This is on record, with the reason. People must have confirmed their identity, by
        their second factor if they have one, within the last ten minutes.
        """
        version, reason = self._readable()
        chosen = reading.samples(version, by=self.actor, reason=reason)
        return Response({"samples": [sample._asdict() for sample in chosen]})

    @Act(P.VIEW_PROMPTS, takes=Why, files=("application/x-ndjson",))
    def file(self, request: Any, **path: Any) -> HttpResponseBase:
        """Read all rows of a version, as JSON lines. The same conditions apply as to samples."""
        version, reason = self._readable()
        lines = reading.whole(version, by=self.actor, reason=reason)
        name = f"{version.data_set.name}-{version.number}.jsonl"
        return downloads.stream(lines, self.scope, name, "application/x-ndjson")

    def _readable(self) -> tuple[DataSetVersion, str]:
        version, reason = self.row(), self.body()["reason"]
        if not may_read_texts(self.request._request):
            raise proof_needed()
        return version, reason

    def _data_set(self) -> DataSet:
        data_sets = DataSet.objects.present().filter(tenant=self.url_tenant)
        return first_or_404(data_sets.filter(pk=self.kwargs["data_set"]))
