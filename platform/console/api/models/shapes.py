"""What callers send and get of versions of models."""

from typing import Any, ClassVar

import django_filters as f
from rest_framework import serializers as s

from console.api.serving.replacements import SwitchChange
from console.api.strict_input import Row, Shape
from inference.model_registry.source import KINDS
from inference.model_registry.sources.uploads import MOST_FILES
from inference.models import ModelVersion, VersionFormat, VersionKind, VersionState
from inference.models.model_version import (
    LONGEST_CARD,
    LONGEST_LICENCE,
    LONGEST_NAME,
    MOST_PARENTS,
)

_SHA256 = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"
_SOURCE = {"type": "https", "url": "https://models.example.com/m.gguf", "sha256": _SHA256}
_ID = "0192e6a0-77aa-7c6e-9f6e-1f2a3b4c5d6e"


class SourceShape(Shape):
    """The place of the files: `https` needs url and sha256, `git` a url, `folder` a path.

    `files` needs uploaded files: weights and what stands beside them, or one archive.
    """

    type = s.ChoiceField(KINDS)
    url = s.CharField(max_length=2000, required=False)
    sha256 = s.CharField(max_length=64, required=False)
    revision = s.CharField(max_length=200, required=False, help_text="Default: HEAD.")
    path = s.CharField(
        max_length=500, required=False, help_text="In the repository, or in FOREBAY_MODELS."
    )
    files = s.ListField(
        child=s.CharField(max_length=40),
        required=False,
        max_length=MOST_FILES,
        help_text="Own files of `/v1/files` with the purpose `model`.",
    )
    EXAMPLE: ClassVar[dict[str, Any]] = _SOURCE


class NewVersionOfModel(Shape):
    name = s.CharField(max_length=LONGEST_NAME, help_text="The version gets the next number.")
    kind = s.ChoiceField(VersionKind.choices)
    source = SourceShape()  # type: ignore[assignment]  # a field of this name
    parents = s.ListField(child=s.UUIDField(), max_length=MOST_PARENTS, required=False)
    licence = s.CharField(max_length=LONGEST_LICENCE, required=False, allow_blank=True)
    card = s.CharField(max_length=LONGEST_CARD, required=False, allow_blank=True)
    EXAMPLE = {"name": "support-7b", "kind": "base", "source": _SOURCE, "parents": []}


class ModelVersionShape(Row):
    name = s.CharField()
    number = s.IntegerField()
    tenant = s.CharField(
        source="tenant.name", allow_null=True, default=None, help_text="null: the platform's."
    )
    kind = s.ChoiceField(VersionKind.choices)
    state = s.ChoiceField(VersionState.choices)
    problem = s.SerializerMethodField(help_text="Why the import failed.")
    format = s.ChoiceField(VersionFormat.choices, allow_blank=True)
    dtype = s.CharField(help_text="The type in which most bytes are stored.")
    architecture = s.CharField()
    parameters = s.IntegerField()
    context_length = s.IntegerField(help_text="0: the files do not say.")
    size = s.IntegerField(help_text="Bytes of all files.")
    licence = s.CharField()
    card = s.CharField()
    source = s.SerializerMethodField(  # type: ignore[assignment]  # a field of this name
        help_text="Empty for the platform's, except to operators."
    )
    parents = s.SerializerMethodField(help_text="Versions that it was made from.")
    data_sets = s.SerializerMethodField(help_text="Versions of data sets that it was trained on.")
    made_by_job = s.UUIDField(allow_null=True)
    marked_at = s.DateTimeField(
        allow_null=True, help_text="Since then, data that it was trained on has been erased."
    )
    marked_reason = s.CharField()
    manifest_sha256 = s.CharField(help_text="Of the signed list of its files.")
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "name": "support-7b",
        "number": 3,
        "tenant": "acme",
        "kind": "full",
        "state": "ready",
        "problem": "",
        "format": "safetensors",
        "source": _SOURCE,
        "parents": [_ID],
        "data_sets": [_ID],
        "made_by_job": None,
        "marked_at": None,
    }

    def get_problem(self, version: ModelVersion) -> str:
        return version.problem_in_words

    def get_source(self, version: ModelVersion) -> dict[str, Any]:
        return version.shown_source if version.tenant_id else {}

    def get_parents(self, version: ModelVersion) -> list[str]:
        return sorted(str(link.parent_id) for link in version.parent_links.all())

    def get_data_sets(self, version: ModelVersion) -> list[str]:
        return sorted(str(link.data_set_version_id) for link in version.data_set_links.all())


class AnyModelVersionShape(ModelVersionShape):
    """A version of any tenant, or the platform's."""

    served_by = s.SerializerMethodField(help_text="Names of engines.")
    label = s.CharField(  # type: ignore[assignment]  # a field of this name
        help_text="The version that its engines state."
    )
    EXAMPLE = {**ModelVersionShape.EXAMPLE, "served_by": ["gpu-1.support-7b-3"]}

    def get_source(self, version: ModelVersion) -> dict[str, Any]:
        return version.shown_source

    def get_served_by(self, version: ModelVersion) -> list[str]:
        return version.engine_names


class ModelFileShape(Shape):
    id = s.IntegerField()
    name = s.CharField()
    size = s.IntegerField()
    sha256 = s.CharField()
    EXAMPLE = {"id": 12, "name": "model.safetensors", "size": 538_090_408, "sha256": _SHA256}


class ModelFiles(Shape):
    """The files of a version, and the platform's signature of their list."""

    files = s.ListField(child=ModelFileShape())
    manifest = s.DictField(help_text="What was signed, as JSON with sorted keys.")
    signature = s.CharField(help_text="Ed25519, in hex, over `forebay-model-manifest/1` and it.")
    EXAMPLE = {"files": [ModelFileShape.EXAMPLE], "manifest": {}, "signature": ""}


class Promotion(SwitchChange):
    engine = s.UUIDField(help_text="The engine whose place it takes.")
    EXAMPLE: ClassVar[dict[str, Any]] = {"engine": _ID, "keeps_old": True}


class VersionFilter(f.FilterSet):
    name = f.CharFilter(max_length=LONGEST_NAME)
    kind = f.ChoiceFilter(choices=VersionKind.choices)
    state = f.ChoiceFilter(choices=VersionState.choices)


class AnyVersionFilter(VersionFilter):
    tenant = f.CharFilter(field_name="tenant__name", max_length=60)
