"""The endpoints that lines of a batch may have."""

from inference.validation.forms import Form

ENDPOINTS: dict[str, Form] = {
    "/v1/chat/completions": Form.CHAT,
    "/v1/completions": Form.TEXT,
}
