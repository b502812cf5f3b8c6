"""Copy the alert rules into the chart and render kustomize/: `python -m deploy.kubernetes`."""

from deploy.kubernetes.rendering import ALERTS, alerts, files

ALERTS.write_text(alerts())  # before the chart is rendered with it
for path, text in files():
    path.write_text(text)
