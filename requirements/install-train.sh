#!/bin/sh
# install-train.sh PYTHON FOLDER: the environment of trainer/, with PyTorch.
# TORCH=cpu takes PyTorch's build for the CPU, TORCH=cuda the one of PyPI; by default it is cuda where nvidia-smi is.
set -eu
python=$1 folder=$2 here=$(dirname "$0")
torch=${TORCH:-$(command -v nvidia-smi >/dev/null && echo cuda || echo cpu)}
case $torch in
    cpu) size='1.3 GB, a few minutes' ;;
    cuda) size='8 GB, a quarter of an hour' ;;
    *) echo "TORCH is cpu or cuda, not $torch" >&2; exit 2 ;;
esac
echo "Installing PyTorch ($torch) and what trains into $folder ($size)" >&2
[ -x "$folder/bin/pip" ] || "$python" -m venv "$folder"
install="$folder/bin/pip --disable-pip-version-check --no-input install -q --no-deps"
$install --require-hashes -r "$here/train.txt"
if [ "$torch" = cuda ]; then
    $install --require-hashes -r "$here/torch.txt"
else
    # PyPI has no such build for Linux: it comes from a wheel on disk (PIP_FIND_LINKS) or from PyTorch's index.
    $install "$(cat "$here/torch.in")+cpu" || {
        echo 'Set PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu, or TORCH=cuda' >&2; exit 1; }
fi
# At the end of the path: the trainer of this checkout, and nothing of it before an installed package.
(cd "$here/.." && pwd) >"$(echo "$folder"/lib/python3*/site-packages)/forebay-trainer.pth"
