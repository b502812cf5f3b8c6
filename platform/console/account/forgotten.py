"""The page for people who forgot their password.

It answers alike for every address, and does the same work: tenants/notices/links.py looks later
whether the address has an account. Links and their use are `tenants/accounts/password_reset.py`,
not those of django-allauth, whose page mails at once and knows nothing of locked texts.
"""

from allauth.core import ratelimit
from django import forms
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language
from django.views.decorators.cache import never_cache

from console.authorization import before_sign_in
from console.forms import AddressField, ConsoleForm
from tenants.notices import links


class AddressForm(ConsoleForm):
    email = AddressField(
        widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True})
    )


@never_cache
@before_sign_in
def forgotten(request: HttpRequest) -> HttpResponse:
    """Ask for a link by mail. Without a mail server there is no such page."""
    if not settings.MAIL:
        raise Http404
    form = AddressForm(request.POST or None)
    is_sent = request.method == "POST" and form.is_valid()
    if is_sent:
        address = form.cleaned_data["email"].lower()
        limits = {"action": "reset_password", "key": address}
        # One that is refused looks like any other: a limit would tell who was asked for.
        if ratelimit.consume(request, **limits):
            links.ask_for_reset(address, get_language() or settings.LANGUAGE_CODE)
    return render(request, "console/forgotten.html", {"form": form, "is_sent": is_sent})
