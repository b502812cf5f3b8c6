"""The id of the platform's own trail."""

from uuid import UUID

PLATFORM = UUID(int=0)  # stands for "no tenant": the platform's own events have a chain too
