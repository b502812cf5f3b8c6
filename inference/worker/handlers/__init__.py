"""Handlers, by the names that classes of work give them in inference/classes.py."""

from inference import classes
from inference.order import Order
from inference.worker.handlers.base import Handler
from inference.worker.handlers.evaluation import Evaluation
from inference.worker.handlers.generation import Generation
from inference.worker.handlers.training import Training

HANDLERS: dict[str, type[Handler]] = {
    "completion": Generation,
    "evaluation": Evaluation,
    classes.JOB: Training,
}


def handler_of(order: Order) -> type[Handler]:
    return HANDLERS[classes.of(order.klass, order.route).handler]
