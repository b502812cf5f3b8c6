"""How many servers an engine of the chart has over a day, by the rules of its autoscaler.

arrivals  a day's requests                 replicas  what a HorizontalPodAutoscaler decides
cluster   pods that load, serve and drain  day       both together, and what came of it

Nothing here asks a cluster: the decision is reckoned as Kubernetes documents it.
"""
