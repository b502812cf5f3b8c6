"""Makes and prints an operator's key, on the front host, as an operator does in the console."""

from datetime import timedelta

import django

django.setup()

from allauth.mfa.models import Authenticator  # noqa: E402 - after Django is set up
from django.utils import timezone  # noqa: E402

from tenants.accounts import operator_keys  # noqa: E402
from tenants.models import User  # noqa: E402
from tenants.operator_scopes import OperatorScope  # noqa: E402

user = User.objects.create_user("op@forebay.example", is_operator=True)
Authenticator.objects.create(user=user, type=Authenticator.Type.TOTP, data={})
ends = timezone.now() + timedelta(days=30)
_, text = operator_keys.make(user, "ansible", scopes=list(OperatorScope), expires_at=ends)
print(text)
