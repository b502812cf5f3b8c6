"""python -m bench.load.responses: the load generator over OpenAI's Responses API."""

import re
from collections.abc import Iterator

from bench.load.client import LoadClient
from bench.load.generator import Load, Options, chat_body, main, request_bytes


class ResponsesClient(LoadClient):
    """Counts tokens by the usage: a stream repeats its text when it is done."""

    counts = re.compile(rb'"output_tokens":\s*(\d+)')
    token = re.compile(rb'"delta":\s*"[^"]')
    error = re.compile(rb'"error":\s*{')

    def _what_is_wrong(self) -> str:
        if self.stream and self.outcome and self.counted:
            self.outcome.tokens = self.counted
        return super()._what_is_wrong()


def response_requests(options: Options, *, store: bool = False) -> Iterator[bytes]:
    """Yields requests that nothing is stored of, as coding agents send them."""
    body = chat_body(options)
    (message,) = body.pop("messages")
    most = body.pop("max_tokens")
    own = {"input": message["content"], "max_output_tokens": most, "store": store}
    return request_bytes(options, "/responses", body | own)


class ResponsesLoad(Load):
    client = ResponsesClient
    requests = staticmethod(response_requests)


if __name__ == "__main__":
    main(ResponsesLoad)
