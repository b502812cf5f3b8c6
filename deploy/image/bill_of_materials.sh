#!/bin/sh
# bill_of_materials.sh PYTHON FILE: what this Python has installed, as CycloneDX, with a tool that
# is installed apart from it. The lock pins it.
set -eu
python3 -m venv /tmp/tool
python3 deploy/image/lock.py requirements/dev.txt for cyclonedx-bom > /tmp/tool.txt
/tmp/tool/bin/pip install --no-cache-dir --quiet --no-deps --require-hashes -r /tmp/tool.txt
/tmp/tool/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type application \
    --output-reproducible --of JSON -o "$2" "$1"
rm -r /tmp/tool
