"""Notices: what happened, told to people by mail and to targets (webhooks, chat services).

    following     reads the audit trail, and writes a row for each recipient (rules.py)
    expiry        does so for keys that end soon
    links         mails invitations and links for a new password
    delivery      sends what is due, again and again for a day

The rows are `tenants/models/notices/notice.py`.
"""
