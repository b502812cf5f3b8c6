"""Forebay on Kubernetes: `chart/` is kept by hand, most of `kustomize/` is rendered from it."""
