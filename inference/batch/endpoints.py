"""What the lines of a batch may ask for: an endpoint more is a line more."""

from inference.validation.forms import Form

ENDPOINTS: dict[str, Form] = {
    "/v1/chat/completions": Form.CHAT,
    "/v1/completions": Form.TEXT,
}
