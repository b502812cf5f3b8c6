"""Pages of a person's own account, open also while a new password or second factor is required."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from console.authorization import View, own_account


def own_page(view: Callable[..., Any]) -> View:
    """Decorate a view of django-allauth: render inside the scope of authorization, not after it."""

    @own_account
    @wraps(view)
    def rendered(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        response = view(request, **kwargs)
        if isinstance(response, TemplateResponse):
            response.render()
        return response  # type: ignore[no-any-return]

    return rendered
