"""A person's wishes for mail, and their language."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models

from tenants.models.user import User


class NoticePreference(models.Model):
    """A person's language, and the groups of notices that they do not want by mail."""

    user = models.OneToOneField(
        User, models.CASCADE, primary_key=True, related_name="notice_preference"
    )
    language = models.CharField(max_length=8, default="")  # "": that of their last sign-in
    last_language = models.CharField(max_length=8, default="")
    muted = ArrayField(models.CharField(max_length=20), default=list)

    objects: ClassVar[models.Manager["NoticePreference"]]

    def __str__(self) -> str:
        return f"notices to {self.user_id}"

    @classmethod
    def choose(cls, user: User, language: str, muted: list[str]) -> None:
        values = {"language": language, "muted": sorted(muted)}
        cls.objects.update_or_create(user=user, defaults=values)

    @classmethod
    def note_language(cls, user: User, language: str) -> None:
        """Remember the language of a sign-in, for those who chose none."""
        row = cls.objects.filter(user=user).first()
        if row is None or row.last_language != language:
            cls.objects.update_or_create(user=user, defaults={"last_language": language})
