"""All dashboards, and where their files are."""

from pathlib import Path

from deploy.grafana.gpu import GPU
from deploy.grafana.overview import OVERVIEW
from deploy.grafana.pool import POOL
from deploy.grafana.tenant import TENANT
from deploy.grafana.trust import TRUST

FOLDER = Path(__file__).resolve().parent / "dashboards"
DASHBOARDS = (OVERVIEW, TENANT, POOL, GPU, TRUST)
