"""Prompt templates and their versions."""

from typing import Any

import django_filters as f
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from msgspec.structs import asdict
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, calling, filters, listing, shape_of, showing
from console.api.problem import bad_request, first_or_404
from console.api.resource import Resource
from console.api.strict_input import Row, Shape
from inference.models.prompt_template import LONGEST_NAME, PromptTemplate, PromptTemplateVersion
from inference.templating import variables
from inference.templating.content import LONGEST, MOST_MESSAGES, ROLES, Content, TemplateMessage
from inference.templating.variables import TYPES, Variable, WrongVariable
from tenants.roles import Permission as P

MOST_FILLED = 4_000_000  # characters
_MESSAGES = [{"role": "user", "content": "Translate into {{language}}: {{text}}"}]
_VARIABLES = [
    {"name": "language", "type": "string", "default": "English", "max_length": None},
    {"name": "text", "type": "string", "default": None, "max_length": 4000},
]
_CONTENT: dict[str, Any] = {"messages": _MESSAGES, "prompt": None, "variables": _VARIABLES}


class Scalar(s.JSONField):
    """A string, a number or a boolean."""

    def to_internal_value(self, data: Any) -> Any:
        if data is None or isinstance(data, str | int | float | bool):
            return data
        raise s.ValidationError(_("This is of the wrong type."))


class MessageShape(Shape):
    role = s.ChoiceField(ROLES)
    content = s.CharField(max_length=LONGEST, trim_whitespace=False)


class VariableShape(Shape):
    name = s.CharField(max_length=40)
    type = s.ChoiceField(list(TYPES), default="string")
    default = Scalar(
        required=False, allow_null=True, help_text="Without one, requests must give it."
    )
    max_length = s.IntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=variables.LONGEST,
        help_text=f"Characters of a string. Default: {variables.LENGTH}.",
    )


class ContentShape(Shape):
    """Either messages, for a chat, or a prompt."""

    messages = s.ListField(
        child=MessageShape(), required=False, allow_null=True, max_length=MOST_MESSAGES
    )
    prompt = s.CharField(max_length=LONGEST, required=False, allow_null=True, trim_whitespace=False)
    variables = s.ListField(child=VariableShape(), required=False, max_length=variables.MOST)
    EXAMPLE = _CONTENT


class NewTemplate(ContentShape):
    name = s.CharField(max_length=LONGEST_NAME)
    EXAMPLE = {"name": "translation", **_CONTENT}


class Published(ContentShape):
    """A new version. What is sent is sent whole, also the variables."""


class TemplateShape(Row):
    name = s.CharField()
    latest = s.IntegerField(help_text="The number of its latest version.")
    changed_at = s.DateTimeField()
    EXAMPLE = {"name": "translation", "latest": 3, "changed_at": "2026-02-01T09:30:00Z"}


class VersionLine(Shape):
    number = s.IntegerField()
    created_by = s.CharField()
    created_at = s.DateTimeField()
    EXAMPLE = {"number": 3, "created_by": "member:0192e6a0-77aa-7c6e-9f6e-1f2a3b4c5d6e"}


class VersionShape(VersionLine):
    messages = s.SerializerMethodField()
    prompt = s.SerializerMethodField()
    variables = s.SerializerMethodField()
    EXAMPLE = {**_CONTENT, **VersionLine.EXAMPLE}

    def get_messages(self, version: PromptTemplateVersion) -> list[dict[str, str]] | None:
        return [asdict(message) for message in version.content.messages] or None

    def get_prompt(self, version: PromptTemplateVersion) -> str | None:
        return version.content.prompt or None

    def get_variables(self, version: PromptTemplateVersion) -> list[dict[str, Any]]:
        return [
            asdict(variable) | {"max_length": variable.max_length or None}
            for variable in version.content.variables
        ]


class Filling(Shape):
    variables = s.DictField(child=Scalar(allow_null=True), required=False)
    version = s.IntegerField(required=False, min_value=1, max_value=2**31 - 1)
    EXAMPLE = {"variables": {"text": "Guten Morgen"}, "version": 3}


FilledMessage = shape_of("FilledMessage", role=s.CharField(), content=s.CharField())


class FilledShape(Shape):
    version = s.IntegerField()
    messages = s.ListField(child=FilledMessage(), allow_null=True)
    prompt = s.CharField(allow_null=True)
    EXAMPLE = {
        "version": 3,
        "messages": [{"role": "user", "content": "Translate into English: Guten Morgen"}],
        "prompt": None,
    }


def content_of(fields: dict[str, Any]) -> Content:
    """Returns the content of a body. The model checks whether it can be a template."""
    return Content(
        messages=[TemplateMessage(**message) for message in fields.get("messages") or ()],
        prompt=fields.get("prompt") or "",
        variables=[_variable(variable) for variable in fields.get("variables") or ()],
    )


def _variable(fields: dict[str, Any]) -> Variable:
    return Variable(
        fields["name"], fields["type"], fields.get("default"), fields.get("max_length") or 0
    )


class Templates(Resource):
    shape = TemplateShape
    orderings = ("name", "-name", "created_at", "-created_at")

    def rows(self) -> Any:
        return self.url_tenant.prompt_templates.all()

    list = listing(
        P.VIEW_TEMPLATES,
        "List a tenant's prompt templates.",
        asks=filters(name=f.CharFilter(max_length=LONGEST_NAME)),
    )
    retrieve = showing(P.VIEW_TEMPLATES, "Show a prompt template.")
    destroy = calling(
        "remove",
        P.MANAGE_TEMPLATES,
        "Remove a prompt template with all its versions.\n\n"
        "Requests that name it are refused from then on.",
    )

    @Act(P.MANAGE_TEMPLATES, takes=NewTemplate)
    def create(self, request: Any, **path: Any) -> Response:
        """Write a prompt template: its first version.

        In a text, `{{name}}` stands for the variable of that name. Requests call it by
        `{"template": "translation", "variables": {…}}`, or one version of it by `translation@3`.
        """
        fields = self.body()
        self.refuse_taken(fields["name"])
        template = PromptTemplate.create(
            self.url_tenant, fields["name"], content_of(fields), by=self.actor
        )
        return self.respond(template, 201)

    @Act(P.MANAGE_TEMPLATES, takes=Published)
    def partial_update(self, request: Any, **path: Any) -> Response:
        """Publish a new version of a prompt template.

        It becomes the latest. Omitted fields are as in the version before.
        """
        fields = self.body()
        row: PromptTemplate = self.row_to_change()
        row.publish(_changed(row.version().content, fields), by=self.actor)
        return self.respond(row)

    @Act(P.VIEW_TEMPLATES, takes=Filling, gives=FilledShape)
    def fill(self, request: Any, **path: Any) -> Response:
        """Try a prompt template: what it makes of these variables. Nothing runs."""
        row, fields = self.row(), self.body()
        text = _("There is no such one in this tenant.")
        number = fields.get("version", row.latest)
        version = self.named(row.versions, "version", text, number=number)
        try:
            filled = version.content.filled(fields.get("variables", {}), MOST_FILLED)
        except WrongVariable as wrong:
            raise bad_request({f"variables.{wrong.name[:80]}": [wrong.message]}) from None
        return Response({"version": version.number, "messages": None, "prompt": None, **filled})

    def body(self) -> dict[str, Any]:
        """Returns the fields, validated. Also in a PATCH, messages and variables are whole."""
        assert self.act.takes
        serializer = self.act.takes(data=self.request.data)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)


def _changed(before: Content, fields: dict[str, Any]) -> Content:
    """Returns the new content. A chat stays a chat, a prompt a prompt, unless the other is sent."""
    after = content_of(fields)
    if not (after.messages or after.prompt):
        after = Content(before.messages, before.prompt, after.variables)
    template_variables = after.variables if "variables" in fields else before.variables
    return Content(after.messages, after.prompt, template_variables)


class TemplateVersions(Resource):
    shape = VersionLine
    lookup_field = "number"
    orderings = ("number", "-number")

    def rows(self) -> QuerySet[PromptTemplateVersion]:
        own = self.url_tenant.prompt_templates
        template = first_or_404(own.filter(pk=self.kwargs["template"]))
        return template.versions.all()

    list = listing(P.VIEW_TEMPLATES, "List the versions of a prompt template.")

    @Act(P.VIEW_TEMPLATES, gives=VersionShape)
    def retrieve(self, request: Any, **path: Any) -> Response:
        """Show a version of a prompt template. None ever changes."""
        body = VersionShape(self.row()).data
        return Response(body, headers={"ETag": self.etag(body)})
