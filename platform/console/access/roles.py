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
    own_role = request.member.role if request.member else "operator"
    pairs = zip(matrix(profile), matrix(other), strict=True)
    context = {
        "columns": [(_holder_name(holder), holder == own_role) for holder in HOLDERS],
        "lines": [_line(present, others, own_role) for present, others in pairs],
        "profile": profile,
        "other": other,
    }
    return render(request, "console/roles.html", context)


def _line(row: MatrixRow, other_row: MatrixRow, own_role: str) -> Line:
    columns = zip(HOLDERS, row.held, other_row.held, strict=True)
    cells = [
        Cell(holds, holds != holds_elsewhere, holder == own_role)
        for holder, holds, holds_elsewhere in columns
    ]
    return Line(WORDS[row.permission], row.permission, row.duty, cells)


def _holder_name(holder: str) -> str:
    return _("Platform operator") if holder == "operator" else str(Role(holder).label)
