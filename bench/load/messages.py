"""python -m bench.load.messages: the load generator over Anthropic's Messages API."""

import re
from collections.abc import Iterator

from bench.load.client import LoadClient
from bench.load.generator import Load, Options, chat_body, main, request_bytes


class MessagesClient(LoadClient):
    """Counts tokens by the usage: one event may have several."""

    counts = re.compile(rb'"output_tokens":\s*(\d+)')
    last_event = b'"message_stop"'

    def _what_is_wrong(self) -> str:
        if self.stream and self.outcome and self.counted:
            self.outcome.tokens = self.counted
        return super()._what_is_wrong()


def message_requests(options: Options) -> Iterator[bytes]:
    return request_bytes(options, "/messages", chat_body(options))


class MessagesLoad(Load):
    client = MessagesClient
    requests = staticmethod(message_requests)


if __name__ == "__main__":
    main(MessagesLoad)
