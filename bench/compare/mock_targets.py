"""The mock engine with what stands in front of it: LiteLLM, vllm-router, Forebay."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.compare import litellm_proxy, vllm_router
from bench.compare.litellm_proxy import LiteLLMProxy
from bench.compare.vllm_router import RouterMissing, VllmRouter
from bench.figures.progress import tell
from bench.servers.child import temporary_folder
from bench.servers.forebay import Forebay
from bench.servers.processes import use_by_role
from bench.servers.targets import MODEL, MockEngine, Target


@dataclass(slots=True)
class MockTargets:
    """`versions` by name of the target, of those that are not ours."""

    mock: MockEngine
    targets: list[Target]
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def forebay(self) -> Target:
        return next(target for target in self.targets if target.name == "Forebay")

    def add(self, name: str, version: str, proxy: LiteLLMProxy | VllmRouter, key: str) -> None:
        self.versions[name] = version
        use = lambda: use_by_role([proxy.child.pid], of=lambda _: name)  # noqa: E731
        self.targets.append(Target(name, proxy.url, key, MODEL, use))


@contextmanager
def mock_targets(
    *, litellm: bool = True, router: bool = True, forebay: bool = True
) -> Iterator[MockTargets]:
    """All run while the context lasts. Without a vllm-router where it cannot be had."""
    with temporary_folder() as folder, ExitStack() as stack:
        mock = MockEngine(folder)
        stack.callback(mock.stop)
        running = MockTargets(mock, [mock.target()])
        if litellm:
            proxy = LiteLLMProxy(mock.url, MODEL, folder)
            stack.callback(proxy.child.stop)
            running.add("LiteLLM", litellm_proxy.version(), proxy, litellm_proxy.MASTER_KEY)
        if router:
            _add_router(running, folder, stack)
        if forebay:
            ours = Forebay(folder, {MODEL: {"kind": "openai", "url": mock.url, "slots": 64}})
            stack.callback(ours.stop)
            running.targets.append(ours.target(MODEL))
        yield running


def _add_router(running: MockTargets, folder: Path, stack: ExitStack) -> None:
    try:
        router = VllmRouter(running.mock.root, folder)
    except RouterMissing as missing:
        tell(f"{missing}\nbench: the comparison goes on without vllm-router (as with --no-router)")
        return
    stack.callback(router.child.stop)
    running.add("vllm-router", vllm_router.version(), router, "none")
