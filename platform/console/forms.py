"""How every form of the console looks, and the small fields that several of them share."""

from typing import Any

from django import forms
from django.forms import BoundField


class StyledField(BoundField):
    """A field in the clothes of the design kit, red when it is wrong."""

    def build_widget_attrs(
        self, attrs: dict[str, Any], widget: forms.Widget | None = None
    ) -> dict[str, Any]:
        attrs = super().build_widget_attrs(attrs, widget)
        kind = "form-select" if isinstance(self.field.widget, forms.Select) else "form-control"
        attrs["class"] = f"{kind} is-invalid" if self.errors else kind
        return attrs


class ConsoleForm(forms.Form):
    """Rendered field by field with templates/console/_field.html."""

    bound_field_class = StyledField


class MomentField(forms.DateTimeField):
    """A browser's own date and time picker."""

    def __init__(self, **kwargs: Any) -> None:
        shape = "%Y-%m-%dT%H:%M"
        widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format=shape)
        super().__init__(required=False, widget=widget, **kwargs)
