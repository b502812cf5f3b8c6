"""Prompt templates and their versions."""

from typing import Any
from uuid import UUID

import django_filters as f
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.problem import Problem, bad_request
from console.api.resource import Resource
from console.api.strict_input import Shape
from inference.models.prompt_template import LONGEST_NAME, PromptTemplate, PromptTemplateVersion
from inference.templating import variables
from inference.templating.content import LONGEST, MOST_MESSAGES, ROLES, Content, Message
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
        required=False,
        allow_null=True,
        help_text="Without one, requests must give it.",
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


class TemplateShape(Shape):
    id = s.UUIDField()
    name = s.CharField()
    latest = s.IntegerField(help_text="The number of its latest version.")
    created_at = s.DateTimeField()
    changed_at = s.DateTimeField()
    EXAMPLE = {
        "id": "0192e6a0-5d0b-7c6e-9f6e-1f2a3b4c5d6e",
        "name": "translation",
        "latest": 3,
        "created_at": "2026-01-31T08:00:00Z",
        "changed_at": "2026-02-01T09:30:00Z",
    }


class VersionLine(Shape):
    number = s.IntegerField()
    created_by = s.CharField()
    created_at = s.DateTimeField()
    EXAMPLE = {
        "number": 3,
        "created_by": "member:0192e6a0-77aa-7c6e-9f6e-1f2a3b4c5d6e",
        "created_at": "2026-02-01T09:30:00Z",
    }


class VersionShape(Shape):
    number = s.IntegerField()
    messages = s.SerializerMethodField()
    prompt = s.SerializerMethodField()
    variables = s.SerializerMethodField()
    created_by = s.CharField()
    created_at = s.DateTimeField()
    EXAMPLE = {**_CONTENT, **VersionLine.EXAMPLE}

    def get_messages(self, version: PromptTemplateVersion) -> list[dict[str, str]] | None:
        messages = version.content.messages
        return [{"role": one.role, "content": one.content} for one in messages] or None

    def get_prompt(self, version: PromptTemplateVersion) -> str | None:
        return version.content.prompt or None

    def get_variables(self, version: PromptTemplateVersion) -> list[dict[str, Any]]:
        return [
            {
                "name": one.name,
                "type": one.type,
                "default": one.default,
                "max_length": one.max_length or None,
            }
            for one in version.content.variables
        ]


class Filling(Shape):
    variables = s.DictField(child=Scalar(allow_null=True), required=False)
    version = s.IntegerField(required=False, min_value=1, max_value=2**31 - 1)
    EXAMPLE = {"variables": {"text": "Guten Morgen"}, "version": 3}


class FilledMessage(Shape):
    role = s.CharField()
    content = s.CharField()


class FilledShape(Shape):
    version = s.IntegerField()
    messages = s.ListField(child=FilledMessage(), allow_null=True)
    prompt = s.CharField(allow_null=True)
    EXAMPLE = {
        "version": 3,
        "messages": [{"role": "user", "content": "Translate into English: Guten Morgen"}],
        "prompt": None,
    }


class TemplateFilter(f.FilterSet):
    name = f.CharFilter(max_length=LONGEST_NAME)


def content_of(fields: dict[str, Any]) -> Content:
    """Returns the content of a body. The model checks whether it can be a template."""
    return Content(
        messages=[Message(**message) for message in fields.get("messages") or ()],
        prompt=fields.get("prompt") or "",
        variables=[_variable(variable) for variable in fields.get("variables") or ()],
    )


def _variable(fields: dict[str, Any]) -> Variable:
    return Variable(
        fields["name"], fields["type"], fields.get("default"), fields.get("max_length") or 0
    )


class Templates(Resource):
    needs = {
        "list": P.VIEW_TEMPLATES,
        "create": P.MANAGE_TEMPLATES,
        "retrieve": P.VIEW_TEMPLATES,
        "partial_update": P.MANAGE_TEMPLATES,
        "destroy": P.MANAGE_TEMPLATES,
        "fill": P.VIEW_TEMPLATES,
    }
    shape = TemplateShape
    gives = {"fill": FilledShape}
    takes = {"create": NewTemplate, "partial_update": Published, "fill": Filling}
    asks = {"list": TemplateFilter}
    orderings = ("name", "-name", "created_at", "-created_at")

    def list(self, request: Any, tenant: str) -> Response:
        """List a tenant's prompt templates."""
        return self.respond_page(self.url_tenant.prompt_templates.all())

    def create(self, request: Any, tenant: str) -> Response:
        """Write a prompt template: its first version.

        In a text, `{{name}}` stands for the variable of that name. Requests call it by
        `{"template": "translation", "variables": {…}}`, or one version of it by `translation@3`.
        """
        fields = self.body()
        if self.url_tenant.prompt_templates.filter(name=fields["name"]).exists():
            raise Problem(409, "name_taken", _("This name is taken."))
        template = PromptTemplate.create(
            self.url_tenant, fields["name"], content_of(fields), by=self.actor
        )
        return self.respond(template, 201)

    def retrieve(self, request: Any, tenant: str, template: UUID) -> Response:
        """Show a prompt template."""
        return self.respond(self._template(template))

    def partial_update(self, request: Any, tenant: str, template: UUID) -> Response:
        """Publish a new version of a prompt template.

        It becomes the latest. Omitted fields are as in the version before.
        """
        fields = self.body()
        row: PromptTemplate = self.get_for_change(self._rows(), pk=template)
        row.publish(_changed(row.version().content, fields), by=self.actor)
        return self.respond(row)

    def destroy(self, request: Any, tenant: str, template: UUID) -> Response:
        """Remove a prompt template with all its versions.

        Requests that name it are refused from then on.
        """
        self.get_for_change(self._rows(), pk=template).remove(by=self.actor)
        return Response(status=204)

    def fill(self, request: Any, tenant: str, template: UUID) -> Response:
        """Try a prompt template: what it makes of these variables. Nothing runs."""
        row, fields = self._template(template), self.body()
        version = row.versions.filter(number=fields.get("version", row.latest)).first()
        if version is None:
            raise bad_request({"version": [_("There is no such one in this tenant.")]})
        try:
            filled = version.content.filled(fields.get("variables", {}), MOST_FILLED)
        except WrongVariable as wrong:
            raise bad_request({f"variables.{wrong.name[:80]}": [wrong.message]}) from None
        return Response({"version": version.number, "messages": None, "prompt": None, **filled})

    def body(self) -> dict[str, Any]:
        """Returns the fields, validated. Also in a PATCH, messages and variables are whole."""
        serializer = self.takes[str(self.action)](data=self.request.data)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def _template(self, template: UUID) -> PromptTemplate:
        row: PromptTemplate = self.get_or_404(self._rows(), pk=template)
        return row

    def _rows(self) -> Any:
        return self.url_tenant.prompt_templates.all()


def _changed(before: Content, fields: dict[str, Any]) -> Content:
    """Returns the new content. A chat stays a chat, a prompt a prompt, unless the other is sent."""
    after = content_of(fields)
    if not (after.messages or after.prompt):
        after = Content(before.messages, before.prompt, after.variables)
    template_variables = after.variables if "variables" in fields else before.variables
    return Content(after.messages, after.prompt, template_variables)


class TemplateVersions(Resource):
    needs = {"list": P.VIEW_TEMPLATES, "retrieve": P.VIEW_TEMPLATES}
    shape = VersionLine
    gives = {"retrieve": VersionShape}
    orderings = ("number", "-number")

    def list(self, request: Any, tenant: str, template: UUID) -> Response:
        """List the versions of a prompt template."""
        return self.respond_page(self._rows(template))

    def retrieve(self, request: Any, tenant: str, template: UUID, number: int) -> Response:
        """Show a version of a prompt template. None ever changes."""
        body = VersionShape(self.get_or_404(self._rows(template), number=number)).data
        return Response(body, headers={"ETag": self.etag(body)})

    def _rows(self, template: UUID) -> Any:
        row: PromptTemplate = self.get_or_404(self.url_tenant.prompt_templates.all(), pk=template)
        return row.versions.all()
