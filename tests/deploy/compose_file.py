"""The services of compose.yaml."""

from typing import Any

import yaml

from config.environment import PROJECT

FOLDER = PROJECT / "deploy" / "compose"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: each for name, each in SERVICES.items() if "FOREBAY_IMAGE" in each["image"]}
