"""Writes `kustomize/`, `chart/` and adapter-values.yaml: `python -m deploy.kubernetes`."""

import shutil

from deploy.kubernetes.layout import HERE, written

for folder in ("kustomize", "chart"):
    shutil.rmtree(HERE / folder, ignore_errors=True)
for name, text in written().items():
    path = HERE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
