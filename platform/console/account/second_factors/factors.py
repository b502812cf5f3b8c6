"""Pages to add and remove second factors: django-allauth's views, each act on record."""

from typing import Any

from allauth.account.internal.flows.login import record_authentication
from allauth.mfa.base.views import AuthenticateView, IndexView, ReauthenticateView
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.views import GenerateRecoveryCodesView, ViewRecoveryCodesView
from allauth.mfa.totp.views import ActivateTOTPView, DeactivateTOTPView
from allauth.mfa.webauthn import views as webauthn
from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect

from audit.actions import Action
from console.account import session_records
from console.account.reauthentication import BY_FACTOR, factor_proven
from console.account.second_factors.factor_codes import use_up
from console.account.second_factors.mfa_adapter import SecondFactorAdapter
from console.authorization import ConsoleRequest, own_page, signing_in
from tenants.accounts import second_factor_policy
from tenants.accounts.sessions import end_sessions

OVERVIEW = "/account/two-factor/"


class _Recorded:
    """Mixed into allauth's views: records the change, and ends the person's other sessions."""

    request: ConsoleRequest
    recorded: Action
    factor: Authenticator.Type

    def form_valid(self, form: Any) -> HttpResponse:
        with transaction.atomic():
            response: HttpResponse = super().form_valid(form)  # type: ignore[misc]
            user = self.request.user
            session_records.record(self.recorded, self.request, user, {"factor": self.factor})
            end_sessions(user, keep=self.request.session.session_key)
        return response


class _Added(_Recorded):
    """Whoever adds a factor has just used it, which proves their identity as later uses do."""

    recorded = Action.MFA_ADD

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        user, proof = self.request.user, {"reauthenticated": True, "type": self.factor}
        record_authentication(self.request, user, method=BY_FACTOR, **proof)
        return response


class Overview(IndexView):
    def get_context_data(self, **shown: Any) -> dict[str, Any]:
        owed = second_factor_policy.must_enrol(self.request.user)
        return {**super().get_context_data(**shown), "owed": owed}


class AddApp(_Added, ActivateTOTPView):
    factor = Authenticator.Type.TOTP

    def form_valid(self, form: Any) -> HttpResponse:
        with transaction.atomic():
            response = super().form_valid(form)
            added = Authenticator.objects.get(user=self.request.user, type=self.factor)
            use_up(added, form.cleaned_data["code"])
        return response


class RemoveApp(_Recorded, DeactivateTOTPView):
    recorded, factor = Action.MFA_REMOVE, Authenticator.Type.TOTP


class AddKey(_Added, webauthn.AddWebAuthnView):
    factor = Authenticator.Type.WEBAUTHN


class RemoveKey(_Recorded, webauthn.RemoveWebAuthnView):
    recorded, factor = Action.MFA_REMOVE, Authenticator.Type.WEBAUTHN
    success_url = OVERVIEW

    def form_valid(self, form: Any) -> HttpResponse:
        adapter = SecondFactorAdapter()
        if not adapter.can_delete_authenticator(self.get_object()):
            messages.error(self.request, adapter.error_messages["cannot_delete_authenticator"])
            return redirect("mfa_index")
        return super().form_valid(form)


class NewRecoveryCodes(_Recorded, GenerateRecoveryCodesView):
    recorded, factor = Action.MFA_ADD, Authenticator.Type.RECOVERY_CODES


overview = own_page(Overview.as_view())
add_app = own_page(factor_proven(AddApp.as_view()))
remove_app = own_page(factor_proven(RemoveApp.as_view()))
add_key = own_page(factor_proven(AddKey.as_view()))
remove_key = own_page(factor_proven(RemoveKey.as_view()))
rename_key = own_page(webauthn.EditWebAuthnView.as_view(success_url=OVERVIEW))
recovery_codes = own_page(ViewRecoveryCodesView.as_view())
new_recovery_codes = own_page(factor_proven(NewRecoveryCodes.as_view()))
at_sign_in = signing_in(AuthenticateView.as_view())
prove_by_code = own_page(ReauthenticateView.as_view())
prove_by_key = own_page(webauthn.ReauthenticateWebAuthnView.as_view())
