"""The table of roles and their permissions, read-only, as the code goes by it."""

from dataclasses import dataclass

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from console.access.permission_words import WORDS
from console.authorization import TenantRequest, permitted
from tenants.roles import HOLDERS, Duty, MatrixRow, Permission, Profile, Role, matrix


@dataclass(frozen=True, slots=True)
class Cell:
    held: bool  # under this tenant's profile
    otherwise: bool  # it differs under the other profile
    own: bool  # the role of the person who looks


@dataclass(frozen=True, slots=True)
class Line:
    label: str | Promise
    permission: Permission
    duty: Duty | None
    cells: list[Cell]


@permitted(Permission.VIEW_MEMBERS)
def roles(request: TenantRequest) -> HttpResponse:
    profile = Profile(request.tenant.profile)
    other = Profile.ASVS if profile == Profile.MLPS else Profile.MLPS
    own = request.member.role if request.member else "operator"
    pairs = zip(matrix(profile), matrix(other), strict=True)
    context = {
        "columns": [(_holder_name(holder), holder == own) for holder in HOLDERS],
        "lines": [_line(here, there, own) for here, there in pairs],
        "profile": profile,
        "other": other,
    }
    return render(request, "console/roles.html", context)


def _line(here: MatrixRow, there: MatrixRow, own: str) -> Line:
    columns = zip(HOLDERS, here.held, there.held, strict=True)
    cells = [Cell(holds, holds != elsewhere, holder == own) for holder, holds, elsewhere in columns]
    return Line(WORDS[here.permission], here.permission, here.duty, cells)


def _holder_name(holder: str) -> str:
    return _("Platform operator") if holder == "operator" else str(Role(holder).label)
