"""Are GPUs busy, cool enough, and what does an answer cost in power?"""

from deploy.grafana.panel import (
    BAD,
    WARN,
    Dashboard,
    Panel,
    Query,
    Row,
    Variable,
    number,
    rate,
)

_GPU = "an NVIDIA GPU: Forebay's workers read it, or NVIDIA's dcgm-exporter"
_OWN = 'Hostname=~"$Hostname", gpu=~"$gpu"'
_NAME = "{{Hostname}} {{gpu}}"


def _of(name: str) -> str:
    """One series for each GPU, whoever reads it, and however many do."""
    return f"max by (Hostname, gpu, UUID) (DCGM_FI_DEV_{name}{{{_OWN}}})"


_MEMORY = f"{_of('FB_USED')} / ({_of('FB_USED')} + {_of('FB_FREE')})"
_ENERGY_J = (  # the counter is of millijoules
    f"sum(max by (Hostname, gpu, UUID) (rate(DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{{_OWN}}}"
    "[$__rate_interval]))) / 1000"
)

_NOW = (
    number(
        "GPUs",
        "none",
        "That somebody reads.",
        f"count({_of('GPU_UTIL')})",
        needs=_GPU,
    ),
    number(
        "Utilisation",
        "percent",
        "Share of time in which a kernel ran, on average. It says that a GPU works and not how "
        "much: busy slots are the better measure of load.",
        f"avg({_of('GPU_UTIL')})",
        needs=_GPU,
        most=100,
    ),
    number(
        "Hottest",
        "celsius",
        "The hottest GPU. From 85 °C on they slow themselves down.",
        f"max({_of('GPU_TEMP')})",
        needs=_GPU,
        limits=((75, WARN), (85, BAD)),
    ),
    number(
        "Fullest memory",
        "percentunit",
        "Of the GPU with the least memory left. An engine like vLLM takes 90 % when it starts and "
        "keeps it: how full its KV cache is says more (pool and engine).",
        f"max({_MEMORY})",
        needs=_GPU,
        limits=((0.95, WARN),),
        most=1,
    ),
    number("Power", "watt", "Of all GPUs together.", f"sum({_of('POWER_USAGE')})", needs=_GPU),
    number(
        "Lost",
        "none",
        "GPUs that have been there and are not reached any more: fallen off the bus, most often.",
        "count(max by (Hostname, gpu, UUID) (forebay_gpu_up) == 0) or vector(0)",
        limits=((1, BAD),),
    ),
)
_EACH = (
    Panel(
        "Utilisation",
        "percent",
        "By GPU. Between 70 and 90 % is a good place to be; below for long, there are GPUs too "
        "many.",
        (Query(_of("GPU_UTIL"), _NAME),),
        needs=_GPU,
        limits=((90, WARN),),
        most=100,
    ),
    Panel(
        "Temperature",
        "celsius",
        "By GPU.",
        (Query(_of("GPU_TEMP"), _NAME),),
        needs=_GPU,
        limits=((85, BAD),),
    ),
    Panel(
        "Memory in use",
        "percentunit",
        "By GPU.",
        (Query(_MEMORY, _NAME),),
        needs=_GPU,
        limits=((0.9, WARN),),
        most=1,
    ),
    Panel("Power", "watt", "By GPU.", (Query(_of("POWER_USAGE"), _NAME),), needs=_GPU),
    Panel(
        "Energy",
        "watt",
        "By GPU, from its own counter: what a bill goes by. Where it is not what 'Power' says, "
        "the load changes faster than Prometheus looks.",
        (
            Query(
                "max by (Hostname, gpu, UUID) (rate(DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
                f"{{{_OWN}}}[$__rate_interval])) / 1000",
                _NAME,
            ),
        ),
        needs=_GPU,
    ),
    Panel(
        "Tokens written per joule",
        "suffix: tokens/J",
        "Of all GPUs. It falls when few requests share a batch.",
        (Query(f"{rate('forebay_generation_tokens_total')} / ({_ENERGY_J} > 0)", "tokens/J"),),
        needs=_GPU,
    ),
)
GPU = Dashboard(
    "gpu",
    "GPU",
    "Are GPUs busy, cool enough, and what does an answer cost in power?",
    (Row("Now", _NOW), Row("Each", _EACH)),
    (
        Variable("Hostname", "Host", "DCGM_FI_DEV_GPU_UTIL"),
        Variable("gpu", "GPU", "DCGM_FI_DEV_GPU_UTIL"),
    ),
)
