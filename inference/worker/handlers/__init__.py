"""Handlers, by the names that classes of work give them in inference/classes.py."""

from inference import classes
from inference.order import Order
from inference.worker.handlers.base import Handler
from inference.worker.handlers.choices import Choices
from inference.worker.handlers.evaluation import Evaluation
from inference.worker.handlers.generation import Generation
from inference.worker.handlers.training import Training
from inference.worker.handlers.vectors import Vectors

HANDLERS: dict[str, type[Handler]] = {
    "completion": Generation,
    "evaluation": Evaluation,
    classes.JOB: Training,
}


def handler_of(order: Order) -> type[Handler]:
    """Returns the handler of its class, or of its kind where the class serves completions."""
    if order.task:
        return Vectors
    if order.choices > 1:
        return Choices
    return HANDLERS[classes.of(order.klass, order.route).handler]
