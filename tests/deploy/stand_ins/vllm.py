"""`vllm serve`'s place: the mock engine, told of the words that vLLM takes.

The model must be there, in a volume that nobody can write to.
"""

import argparse
import os
import sys

from bench.mock_engine import server

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--served-model-name", required=True)
parser.add_argument("--max-num-seqs", type=int)
parser.add_argument("--enable-prompt-tokens-details", action="store_true")
told = parser.parse_args()
if not os.path.isdir(told.model) or os.access(told.model, os.W_OK):  # noqa: PTH112  # as short as it gets
    sys.exit(f"{told.model} is not there, or can be written to")
sys.argv[1:] = ["--host", "0.0.0.0", "--port", "8000", "--model", told.served_model_name]  # noqa: S104  # of a container
server.main()
