from tests.inference.vectors.conftest import engine, house

__all__ = ["engine", "house"]
