#!/bin/sh
# bill_of_materials.sh PYTHON FILE: what this Python has installed, as CycloneDX, with a tool that
# is installed apart from it. The lock pins it.
set -eu
tool=$(mktemp -d)
trap 'rm -r "$tool"' EXIT
python3 -m venv "$tool"
python3 deploy/image/lock.py requirements/dev.txt for cyclonedx-bom > "$tool/lock.txt"
"$tool/bin/pip" install --no-cache-dir --quiet --no-deps --require-hashes -r "$tool/lock.txt"
"$tool/bin/cyclonedx-py" environment --pyproject pyproject.toml --mc-type application \
    --output-reproducible --of JSON -o "$2" "$1"
