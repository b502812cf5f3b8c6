"""Celery's acknowledgements over Redis: one that fails does not cost the worker a place.

A worker takes as many messages as it has places. Kombu 5.7 (`QoS.ack` of its Redis transport) frees
a message's place after Redis has confirmed the acknowledgement, and Celery only logs "Couldn't ack"
where Redis is away. Without free places the worker neither reads nor sends anything, so that it
does not notice the lost connection either: it stays deaf until it is started anew.
"""

from typing import Any

from kombu.transport import redis, virtual


class FreeingQoS(redis.QoS):
    """Frees a message's place even if Redis does not answer.

    Redis delivers such a message again after the visibility timeout, which a wake-up may be.
    """

    def ack(self, delivery_tag: Any) -> None:
        try:
            super().ack(delivery_tag)
        except Exception:
            virtual.QoS.ack(self, delivery_tag)
            raise

    def reject(self, delivery_tag: Any, requeue: bool = False) -> None:
        try:
            super().reject(delivery_tag, requeue=requeue)
        except Exception:
            virtual.QoS.ack(self, delivery_tag)
            raise


def free_places() -> None:
    """Let every channel of this process use it."""
    redis.Channel.QoS = FreeingQoS
