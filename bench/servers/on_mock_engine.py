"""A Forebay in front of a mock engine."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from bench.servers.child import temporary_folder
from bench.servers.forebay import Forebay
from bench.servers.targets import MODEL, MockEngine


@contextmanager
def forebay_on_mock_engine(
    *,
    kind: str = "openai",
    slots: int = 64,
    context_length: int | None = None,
    grpc: bool = False,
    variables: Mapping[str, str] | None = None,
) -> Iterator[tuple[MockEngine, Forebay]]:
    """Both run while the context lasts. `variables` go into the platform's environment."""
    with temporary_folder() as folder, ExitStack() as stack:
        mock = MockEngine(folder)
        stack.callback(mock.stop)
        engine = {"kind": kind, "url": mock.url, "slots": slots}
        if context_length:
            engine["context_length"] = context_length
        forebay = Forebay(folder, {MODEL: engine}, grpc=grpc, variables=variables)
        stack.callback(forebay.stop)
        yield mock, forebay
