"""SQL that tells beat whether a notice is due (platform/config/schedule/scheduler.py)."""

IN_DATABASE = {
    "tenants.deliver_notices": "exists (select from tenants_notice "
    "where state = 'waiting' and due_at <= now())",
}
