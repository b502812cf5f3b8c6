"""python -m bench.load.stored_responses: bench.load.responses, with responses that are stored."""

from functools import partial

from bench.load.generator import main
from bench.load.responses import ResponsesLoad, response_requests


class StoredResponsesLoad(ResponsesLoad):
    requests = staticmethod(partial(response_requests, store=True))


if __name__ == "__main__":
    main(StoredResponsesLoad)
