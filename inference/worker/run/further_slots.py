"""Slots of the engine that a request may have beside its own, for several answers at a time."""


class FurtherSlots:
    """Has none. Those of a runner are in worker/engine_slots.py."""

    def borrow(self, klass: str) -> bool:
        """Take one for a request of a class. Returns False if it must do without."""
        return False

    def occupy(self, count: int) -> None:
        """Take some that the engine fills anyway, free or not: no request begins in them."""

    def give_back(self, count: int = 1) -> None:
        """Give back what `borrow` or `occupy` took."""
