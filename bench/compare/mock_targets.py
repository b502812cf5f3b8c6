"""The mock engine with what stands in front of it: LiteLLM, vllm-router, Forebay."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CalledProcessError

from bench.compare.proxies import LITELLM, VLLM_ROUTER, litellm_options, router_options
from bench.figures import tell
from bench.servers.child import DidNotStart, temporary_folder
from bench.servers.forebay import forebay_on, mock_engine
from bench.servers.targets import MODEL, MockEngine, Target


@dataclass(slots=True)
class MockTargets:
    """`versions` by name of the target, of those that are not ours."""

    mock: MockEngine
    targets: list[Target]
    versions: dict[str, str] = field(default_factory=dict)


@contextmanager
def mock_targets(
    *, litellm: bool = True, router: bool = True, forebay: bool = True
) -> Iterator[MockTargets]:
    """Start all targets for as long as the context lasts, Forebay last.

    Without a vllm-router where it cannot be had.
    """
    with mock_engine() as mock, temporary_folder() as folder, ExitStack() as stack:
        running = MockTargets(mock, [mock.target()])
        if litellm:
            options = litellm_options(mock.url, folder)
            running.targets.append(stack.enter_context(LITELLM.running(folder, *options)))
            running.versions[LITELLM.name] = LITELLM.version()
        if router:
            _add_router(running, folder, stack)
        if forebay:
            ours = {MODEL: {"kind": "openai", "url": mock.url, "slots": 64}}
            running.targets.append(stack.enter_context(forebay_on(ours)).target())
        yield running


def _add_router(running: MockTargets, folder: Path, stack: ExitStack) -> None:
    router = VLLM_ROUTER.running(folder, *router_options(running.mock.root))
    try:
        running.targets.append(stack.enter_context(router))
    except (CalledProcessError, DidNotStart) as failed:
        did_not_start = isinstance(failed, DidNotStart)
        why = (
            f"it does not start: {failed}" if did_not_start else "pip could not install vllm-router"
        )
        tell(f"{why}\nbench: the comparison goes on without vllm-router (as with --no-router)")
    else:
        running.versions[VLLM_ROUTER.name] = VLLM_ROUTER.version()
