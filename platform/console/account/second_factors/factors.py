"""Pages to add and remove second factors: django-allauth's views, each act on record."""

from typing import Any

from allauth.mfa.base.views import AuthenticateView, IndexView, ReauthenticateView
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.views import GenerateRecoveryCodesView, ViewRecoveryCodesView
from allauth.mfa.totp.views import ActivateTOTPView, DeactivateTOTPView
from allauth.mfa.webauthn.views import (
    AddWebAuthnView,
    EditWebAuthnView,
    ReauthenticateWebAuthnView,
    RemoveWebAuthnView,
)
from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect

from audit.actions import Action
from console.account import session_records
from console.account.own_page import own_page
from console.account.second_factors.factor_codes import use_up
from console.account.second_factors.mfa_adapter import SecondFactorAdapter
from console.authorization import ConsoleRequest, signing_in
from tenants.accounts import second_factor
from tenants.accounts.sessions import end_sessions


def _record_change(action: Action, request: ConsoleRequest, factor: str) -> None:
    """Record the change of a second factor and end the person's other sessions."""
    session_records.record(action, request, request.user, success=True, detail={"factor": factor})
    end_sessions(request.user, keep=request.session.session_key)


class Overview(IndexView):
    def get_context_data(self, **shown: Any) -> dict[str, Any]:
        owed = second_factor.owed(self.request.user)
        return {**super().get_context_data(**shown), "owed": owed}


class AddApp(ActivateTOTPView):
    def form_valid(self, form: Any) -> HttpResponse:
        with transaction.atomic():
            response: HttpResponse = super().form_valid(form)
            kind = Authenticator.Type.TOTP
            added = Authenticator.objects.get(user=self.request.user, type=kind)
            use_up(added, form.cleaned_data["code"])
            _record_change(Action.MFA_ADD, self.request, kind)
        return response


class RemoveApp(DeactivateTOTPView):
    def form_valid(self, form: Any) -> HttpResponse:
        with transaction.atomic():
            response: HttpResponse = super().form_valid(form)
            _record_change(Action.MFA_REMOVE, self.request, Authenticator.Type.TOTP)
        return response


class AddKey(AddWebAuthnView):
    def form_valid(self, form: Any) -> HttpResponse:
        with transaction.atomic():
            response: HttpResponse = super().form_valid(form)
            _record_change(Action.MFA_ADD, self.request, Authenticator.Type.WEBAUTHN)
        return response


class RemoveKey(RemoveWebAuthnView):
    def form_valid(self, form: Any) -> HttpResponse:
        adapter = SecondFactorAdapter()
        if not adapter.can_delete_authenticator(self.get_object()):
            messages.error(self.request, adapter.error_messages["cannot_delete_authenticator"])
            return redirect("mfa_index")
        with transaction.atomic():
            response: HttpResponse = super().form_valid(form)
            _record_change(Action.MFA_REMOVE, self.request, Authenticator.Type.WEBAUTHN)
        return response

    def get_success_url(self) -> str:
        return "/account/two-factor/"


class NewRecoveryCodes(GenerateRecoveryCodesView):
    def form_valid(self, form: Any) -> HttpResponse:
        with transaction.atomic():
            response: HttpResponse = super().form_valid(form)
            _record_change(Action.MFA_ADD, self.request, Authenticator.Type.RECOVERY_CODES)
        return response


class RenameKey(EditWebAuthnView):
    def get_success_url(self) -> str:
        return "/account/two-factor/"


overview = own_page(Overview.as_view())
add_app = own_page(AddApp.as_view())
remove_app = own_page(RemoveApp.as_view())
add_key = own_page(AddKey.as_view())
remove_key = own_page(RemoveKey.as_view())
rename_key = own_page(RenameKey.as_view())
recovery_codes = own_page(ViewRecoveryCodesView.as_view())
new_recovery_codes = own_page(NewRecoveryCodes.as_view())
at_sign_in = signing_in(AuthenticateView.as_view())
prove_by_code = own_page(ReauthenticateView.as_view())
prove_by_key = own_page(ReauthenticateWebAuthnView.as_view())
