"""`make drill`: a cluster of namespaces, with platforms on it, and what breaks there."""
