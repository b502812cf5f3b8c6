"""Versions of an assistant: their content, their build, their review, and sentences tried."""

from typing import Any

import msgspec
from django.db.models import QuerySet
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, calling, listing, shape_of
from console.api.assistants.specs import caller_of, checked, spec_of
from console.api.problem import Problem, first_or_404
from console.api.resource import Resource
from console.api.return_reason import ReturnReason
from console.api.strict_input import Shape
from console.assistants.words import problem_words
from inference.api.assistants import trying, writing
from inference.api.deferred import Refused, Wait
from inference.assistants.checks import LONGEST_EXAMPLE
from inference.assistants.sample import SAMPLE
from inference.assistants.understanding import WrongVector
from inference.models import AssistantVersion
from inference.models.assistants.assistant_version import BuildState, VersionState
from tenants.roles import Permission as P


class NewAssistantVersion(Shape):
    spec = s.DictField(help_text="Its whole content.")
    EXAMPLE = {"spec": SAMPLE}


class AssistantVersionLine(Shape):
    number = s.IntegerField()
    state = s.ChoiceField(VersionState.choices)
    build = s.ChoiceField(BuildState.choices)
    percent = s.IntegerField(help_text="Examples that are embedded.")
    error_code = s.CharField(help_text="Why the build failed.")
    embedding_model = s.CharField()
    examples = s.IntegerField()
    created_by = s.CharField()
    reviewed_by = s.CharField(help_text='"": nobody approved it yet.')
    created_at = s.DateTimeField()
    EXAMPLE = {"number": 3, "state": "draft", "build": "building", "percent": 40, "examples": 160}


class AssistantVersionShape(AssistantVersionLine):
    return_reason = s.CharField(help_text='Why it was sent back; "": it never was.')
    spec = s.SerializerMethodField()
    figures = s.JSONField(
        source="shown_figures",
        allow_null=True,
        help_text="Of the classifier, by a cross-validation split by groups of like examples.",
    )
    EXAMPLE = {**AssistantVersionLine.EXAMPLE, "spec": SAMPLE}

    def get_spec(self, version: AssistantVersion) -> dict[str, Any]:
        spec: dict[str, Any] = msgspec.to_builtins(version.spec)
        return spec


class Share(Shape):
    share = s.FloatField(min_value=0.0, max_value=1.0, help_text="Of people, up to 0.5.")
    EXAMPLE = {"share": 0.2}


class Sentence(Shape):
    text = s.CharField(max_length=LONGEST_EXAMPLE)
    EXAMPLE = {"text": "Where is my order AB-123456?"}


Prediction = shape_of("Prediction", intent=s.CharField(), probability=s.FloatField())


class TrialShape(Shape):
    predictions = s.ListField(child=Prediction(), help_text="The likeliest first.")
    is_sure = s.BooleanField(help_text="The first counts: its probability is at least `sure`.")
    slots = s.DictField(help_text="Values of the likeliest intent's slots in the sentence.")
    EXAMPLE = {
        "predictions": [{"intent": "track", "probability": 0.93}],
        "is_sure": True,
        "slots": {"order": "AB-123456"},
    }


class AssistantVersions(Resource):
    shape = AssistantVersionLine
    lookup_field = "number"
    orderings = ("number", "-number")
    volatile = ("build", "percent", "error_code", "figures")

    def rows(self) -> QuerySet[AssistantVersion]:
        assistant = first_or_404(self.url_tenant.assistants.filter(pk=self.kwargs["assistant"]))
        rows: QuerySet[AssistantVersion] = assistant.versions.select_related("assistant", "tenant")
        return rows

    list = listing(P.VIEW_ASSISTANTS, "List the versions of an assistant.")
    submit = calling("submit", P.MANAGE_ASSISTANTS, "Send a built draft to review.")
    approve = calling(
        "approve",
        P.APPROVE_ASSISTANTS,
        "Approve a version in review. None of its authors may do it.",
    )
    send_back = calling(
        "send_back",
        P.APPROVE_ASSISTANTS,
        "Make a version in review a draft again, and say why.",
        takes=ReturnReason,
    )
    retire = calling(
        "retire", P.MANAGE_ASSISTANTS, "Keep a version that answers nobody from ever answering."
    )

    @Act(P.VIEW_ASSISTANTS, gives=AssistantVersionShape)
    def retrieve(self, request: Any, **path: Any) -> Response:
        """Show a version with its content and the figures of its classifier."""
        body = AssistantVersionShape(self.row()).data
        return Response(body, headers={"ETag": self.etag(body)})

    @Act(P.MANAGE_ASSISTANTS, takes=NewAssistantVersion)
    def create(self, request: Any, **path: Any) -> Response:
        """Write a version, a draft that is built at once with the limits of the caller."""
        self.rows()
        assistant = self.url_tenant.assistants.get(pk=self.kwargs["assistant"])
        with checked():
            spec, caller = spec_of(self.body()["spec"]), caller_of(self.who)
            version = writing.write(assistant, spec, by=self.actor, caller=caller)
        return self.respond(version, 201, at=version.number)

    @Act(P.MANAGE_ASSISTANTS)
    def rebuild(self, request: Any, **path: Any) -> Response:
        """Build a version again, for example after its embedding model was replaced."""
        row = self.row()
        row.rebuild(by=self.actor, caller=caller_of(self.who))
        return self.respond(row)

    @Act(P.MANAGE_ASSISTANTS)
    def promote(self, request: Any, **path: Any) -> Response:
        """Let an approved version answer all new dialogues."""
        row = self.row()
        writing.promote(row, by=self.actor)
        return self.respond(row)

    @Act(P.MANAGE_ASSISTANTS, takes=Share)
    def challenge(self, request: Any, **path: Any) -> Response:
        """Let an approved version answer a share of the people. A person keeps theirs."""
        row = self.row()
        writing.challenge(row, self.body()["share"], by=self.actor)
        return self.respond(row)

    @Act(P.VIEW_ASSISTANTS, takes=Sentence, gives=TrialShape)
    def attempt(self, request: Any, **path: Any) -> Response:
        """Try a sentence: its likeliest intents, and the slots that it has.

        It asks the embedding model once, as a request of the caller. Nothing else runs.
        """
        row, text = self.row(), self.body()["text"]
        try:
            trial = trying.try_now(row, caller_of(self.who), text)
        except Refused as refused:
            raise Problem(409, refused.code, problem_words(refused.code)) from None
        except (Wait, TimeoutError):
            code, headers = "model_busy", {"Retry-After": "5"}
            raise Problem(503, code, problem_words(code), headers=headers) from None
        except WrongVector:
            raise Problem(409, "other_vectors", problem_words("other_vectors")) from None
        return Response(msgspec.to_builtins(trial))
