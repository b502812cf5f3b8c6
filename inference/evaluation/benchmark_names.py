"""Names of public benchmarks, which only a licensed copy may bear.

A figure under such a name is compared with figures of others. So a task set may have the name only
if the operator has said, by its hash, which content is the licensed copy (FOREBAY_BENCHMARKS).
"""

import re
from collections.abc import Mapping

NAMES = frozenset(
    (
        "agieval",
        "aime",
        "alpacaeval",
        "arc",
        "arcchallenge",
        "arceasy",
        "banking77",
        "bbh",
        "bigbench",
        "boolq",
        "ceval",
        "clinc150",
        "cmmlu",
        "cnndailymail",
        "commonsenseqa",
        "drop",
        "glue",
        "gpqa",
        "gsm8k",
        "hellaswag",
        "helm",
        "humaneval",
        "ifeval",
        "lambada",
        "livecodebench",
        "longbench",
        "math500",
        "mbpp",
        "mgsm",
        "mmlu",
        "mmlupro",
        "mtbench",
        "musr",
        "naturalquestions",
        "openbookqa",
        "pawsx",
        "piqa",
        "ptb",
        "pubmedqa",
        "race",
        "sciq",
        "siqa",
        "squad",
        "superglue",
        "swebench",
        "triviaqa",
        "truthfulqa",
        "wikitext",
        "winogrande",
        "xnli",
        "xsum",
    )
)


def benchmark_in(name: str) -> str:
    """Returns the benchmark that a name or a part of it claims to be; "" for none.

    Parts are what stands between dots, dashes and underscores: `mmlu-law` claims one, `archive`
    does not.
    """
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]
    spans = ("".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1))
    return next((span for span in spans if span in NAMES), "")


def is_refused(name: str, sha256: str, licensed: Mapping[str, str]) -> bool:
    """Returns whether the name claims a benchmark that this content is not known to be."""
    benchmark = benchmark_in(name)
    return bool(benchmark) and licensed.get(benchmark) != sha256
