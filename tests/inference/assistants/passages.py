"""Passages of a knowledge base, for tests."""

from typing import NamedTuple


class Cited(NamedTuple):
    title: str
    url: str
    text: str
    score: float = 1.0


DELIVERY = Cited(
    "Delivery",
    "https://shop.example/delivery",
    "Delivery takes 3 days. It costs 4.90 EUR. From 50 EUR on it is free. Parcels go with Hermes"
    " until 24 December 2026. Call 0800-1234 or write to help@shop.example.",
)
CHINESE = Cited("退货", "", "收到商品后14天内可以退货，退款在三个工作日内到账。")
