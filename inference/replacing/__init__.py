"""A new version of an engine takes the old one's place: loaded, warmed, switched, drained."""
