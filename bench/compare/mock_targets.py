"""The mock engine with what stands in front of it: LiteLLM, vllm-router, Forebay."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.compare import litellm_proxy, vllm_router
from bench.compare.comparison import tell
from bench.compare.litellm_proxy import LiteLLMProxy
from bench.compare.vllm_router import RouterMissing, VllmRouter
from bench.servers.forebay import Forebay
from bench.servers.targets import MODEL, MockEngine, Target, use_of


@dataclass(slots=True)
class MockTargets:
    """`versions` by name of the target, of those that are not ours."""

    mock: MockEngine
    targets: list[Target]
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def forebay(self) -> Target:
        return next(target for target in self.targets if target.name == "Forebay")


@contextmanager
def mock_targets(
    folder: Path, *, litellm: bool = True, router: bool = True, forebay: bool = True
) -> Iterator[MockTargets]:
    """All run while the context lasts. Without a vllm-router where it cannot be had."""
    with ExitStack() as stack:
        mock = MockEngine(folder)
        stack.callback(mock.stop)
        found = MockTargets(mock, [mock.target()])
        if litellm:
            _add_litellm(found, folder, stack)
        if router:
            _add_router(found, folder, stack)
        if forebay:
            ours = Forebay(folder, {MODEL: {"kind": "openai", "url": mock.url, "slots": 64}})
            stack.callback(ours.stop)
            found.targets.append(ours.target(MODEL))
        yield found


def _add_litellm(found: MockTargets, folder: Path, stack: ExitStack) -> None:
    proxy = LiteLLMProxy(found.mock.url, MODEL, folder)
    stack.callback(proxy.stop)
    found.versions["LiteLLM"] = litellm_proxy.version()
    use = lambda: use_of(proxy.pid, "litellm")  # noqa: E731
    found.targets.append(Target("LiteLLM", proxy.url, proxy.key, MODEL, use))


def _add_router(found: MockTargets, folder: Path, stack: ExitStack) -> None:
    try:
        router = VllmRouter(found.mock.root, folder)
    except RouterMissing as missing:
        tell(f"{missing}\nbench: the comparison goes on without vllm-router (as with --no-router)")
        return
    stack.callback(router.stop)
    found.versions["vllm-router"] = vllm_router.version()
    use = lambda: use_of(router.pid, "vllm-router")  # noqa: E731
    found.targets.append(Target("vllm-router", router.url, "none", MODEL, use))
