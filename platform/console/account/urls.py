"""The pages of django-allauth that are used here, under the names by which it looks them up.

There is no sign-up and no managing of addresses: accounts come from invitations only.
"""

from django.urls import path

from console.account import password, sign_in
from console.account.identity_providers import oidc
from console.account.second_factors import factors

_PROVIDER = "login/with/<slug:provider_id>/"
_FACTORS = "account/two-factor/"
urlpatterns = [
    path("login/", sign_in.sign_in, name="account_login"),
    path("logout/", sign_in.sign_out, name="account_logout"),
    path("login/second-factor/", factors.at_sign_in, name="mfa_authenticate"),
    path(_PROVIDER, oidc.to_provider, name="openid_connect_login"),
    path(f"{_PROVIDER}callback/", oidc.callback, name="openid_connect_callback"),
    path("account/proof/", password.prove, name="account_reauthenticate"),
    path("account/proof/code/", factors.prove_by_code, name="mfa_reauthenticate"),
    path("account/proof/key/", factors.prove_by_key, name="mfa_reauthenticate_webauthn"),
    path("account/password/", password.change, name="account_change_password"),
    path("account/password/first/", password.set_first, name="account_set_password"),
    path(_FACTORS, factors.overview, name="mfa_index"),
    path(f"{_FACTORS}app/", factors.add_app, name="mfa_activate_totp"),
    path(f"{_FACTORS}app/removal/", factors.remove_app, name="mfa_deactivate_totp"),
    path(f"{_FACTORS}keys/new/", factors.add_key, name="mfa_add_webauthn"),
    path(f"{_FACTORS}keys/<int:pk>/", factors.rename_key, name="mfa_edit_webauthn"),
    path(f"{_FACTORS}keys/<int:pk>/removal/", factors.remove_key, name="mfa_remove_webauthn"),
    path(f"{_FACTORS}codes/", factors.recovery_codes, name="mfa_view_recovery_codes"),
    path(f"{_FACTORS}codes/new/", factors.new_recovery_codes, name="mfa_generate_recovery_codes"),
]
