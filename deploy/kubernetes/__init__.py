"""The objects of Forebay on Kubernetes, once, and what is written from them: `kustomize/` and
`chart/`. `python -m deploy.kubernetes` writes both (docs/operations/kubernetes.md).

parts   which objects there are, by part   words      what an object may have in place of a value
values  what an operator may set           templates  an object as a template of Helm
layout  which file has which part          shapes     pods as all roles have them
"""
