"""Ends an answer early; its text so far stays."""

from functools import partial
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from django.db import transaction

from inference.chat.conversations import of_member
from inference.chat.problems import ChatRefused
from inference.chat.threads import off_loop
from inference.intake.context import Context, context_of
from inference.models import Completion, Conversation, Message
from inference.order import Order
from inference.record.recorded_requests import recorded_order
from tenants.models import Member


def own_answer(member: Member, message_id: UUID) -> Message:
    """Returns the member's answer. Raises ChatRefused, also for another member's."""
    own = Message.objects.filter(conversation__in=of_member(member))
    own = own.select_related("conversation")
    answer = own.filter(pk=message_id).exclude(completion_id=None).first()
    if answer is None:
        raise ChatRefused("not_found")
    return answer


def stop_all_on_commit(scope: Any, conversation: Conversation) -> None:
    """Cancel a conversation's answers from a page, with its ASGI scope, once it is deleted.

    Cancelled earlier, an answer could end as "cancelled" before the page knows of the deletion.
    """
    messages = conversation.messages.filter(ciphertext=None)
    unanswered = messages.values_list("completion_id", flat=True)
    running = Completion.objects.open().filter(pk__in=list(unanswered))
    recorded = [recorded_order(completion.pk) for completion in running]
    if orders := [record[1] for record in recorded if record]:
        transaction.on_commit(partial(async_to_sync(_cancel), context_of(scope), orders))


async def _cancel(context: Context, orders: list[Order]) -> None:
    for order in orders:
        context.cancellation.cancel(order)


async def stop(context: Context, member: Member, completion_id: UUID) -> None:
    recorded = await off_loop(member, recorded_order, repeatable=True)(completion_id)
    if recorded:
        is_open = off_loop(member, Completion.objects.open().filter(pk=completion_id).exists)
        await context.cancellation.insist(recorded[1], is_open)
