"""Replaces an engine by a new version: loaded, warmed, switched to, while the old one drains."""
