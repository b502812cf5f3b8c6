from django.urls import include, path

from console import (
    api_keys,
    audit_log,
    home,
    limits,
    members,
    overview,
    request_log,
    sign_in,
    tenants,
    welcome,
)

app_name = "console"

in_tenant = [
    path("", overview.overview, name="overview"),
    path("live/", overview.live, name="live"),
    path("chart/", overview.chart, name="chart"),
    path("shares/", overview.shares, name="shares"),
    path("requests/", request_log.requests, name="requests"),
    path("keys/", api_keys.api_keys, name="api_keys"),
    path("keys/<uuid:key>/revocation/", api_keys.revocation, name="revocation"),
    path("members/", members.members, name="members"),
    path("members/invitation/", members.invitation, name="invitation"),
    path("members/<uuid:member>/removal/", members.removal, name="removal"),
    path("audit/", audit_log.audit, name="audit"),
    path("limits/", limits.limits, name="limits"),
]
urlpatterns = [
    path("", home.home, name="home"),
    path("login/", sign_in.sign_in, name="sign_in"),
    path("logout/", sign_in.sign_out, name="sign_out"),
    path("welcome/<str:token>/", welcome.welcome, name="welcome"),
    path("console/", overview.platform, name="platform"),
    path("console/live/", overview.platform_live, name="platform_live"),
    path("console/chart/", overview.platform_chart, name="platform_chart"),
    path("console/shares/", overview.platform_shares, name="platform_shares"),
    path("console/requests/", request_log.all_requests, name="all_requests"),
    path("console/tenants/", tenants.tenants, name="tenants"),
    path("console/audit/", audit_log.all_audit, name="all_audit"),
    path("console/nowhere/", home.no_tenant, name="no_tenant"),
    path("console/t/<slug:tenant>/", include(in_tenant)),
]
