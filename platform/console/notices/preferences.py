"""The page on which a person chooses what they get by mail, and in which language."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from console.authorization import ConsoleRequest, signed_in
from console.notices.forms import PreferenceForm
from tenants.models import NoticePreference
from tenants.notices.events import ALWAYS_MAILED, Group


@signed_in
def preferences(request: ConsoleRequest) -> HttpResponse:
    row = NoticePreference.objects.filter(user=request.user).first()
    mutable = [group for group in Group.values if group not in ALWAYS_MAILED]
    muted = row.muted if row else []
    initial = {
        "language": row.language if row else "",
        "mailed": [group for group in mutable if group not in muted],
    }
    form = PreferenceForm(request.POST or None, initial=initial)
    if request.method == "POST":
        form = PreferenceForm(request.POST)
        if form.is_valid():
            mailed = form.cleaned_data["mailed"]
            muted = [group for group in mutable if group not in mailed]
            NoticePreference.choose(request.user, form.cleaned_data["language"], muted)
            messages.success(request, _("Saved."))
            return redirect("console:notice_preferences")
    always = [str(Group(group).label) for group in Group.values if group in ALWAYS_MAILED]
    return render(request, "account/notices.html", {"form": form, "always": always})
