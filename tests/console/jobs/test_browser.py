"""Jobs in a real Chromium: curves grow, acts are confirmed while figures move, estimates appear."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from inference.models import Job, JobMetric
from tenants.models import Member
from tests import chromium
from tests.console.jobs.rows import a_checkpoint, a_job, learned
from tests.console.jobs.versions import a_base, a_data_set

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    chromium.needed,
]


def test_curves_grow_without_a_reload(alice: Member, page: Page, sign_in_page: Any) -> None:
    job = a_job(alice.tenant, "running")
    sign_in_page("alice@acme.example")
    page.goto(f"/console/t/acme/jobs/{job.pk}/")
    expect(page.get_by_text("The curves begin with the first step.").first).to_be_visible()
    expect(page.locator(".chart canvas")).to_have_count(0)

    learned(job, 6)
    charts = page.locator(".chart canvas")
    expect(charts).to_have_count(3, timeout=10_000)
    expect(page.locator("[data-curves]")).to_have_attribute("data-drawn", "6")
    expect(page.get_by_text("6 / 20 steps")).to_be_visible(timeout=10_000)
    expect(page.locator(".u-legend").get_by_text("Held out")).to_be_visible()

    learned(job, 4, since=6)
    a_checkpoint(job, 10, files=[["step-000010/adapter/a", "0" * 64, 5]], size=5)
    expect(page.locator("[data-curves]")).to_have_attribute("data-drawn", "10", timeout=10_000)
    expect(page.get_by_role("button", name="Register the checkpoint of step 10")).to_be_visible()

    # A worker died: steps 9 and 10 come again.
    JobMetric.objects.filter(job=job, step__gt=8).delete()
    learned(job, 3, since=8)
    expect(page.locator("[data-curves]")).to_have_attribute("data-drawn", "11", timeout=10_000)
    page.get_by_text("The curves as a table").click()
    expect(page.locator("#points tbody tr")).to_have_count(11, timeout=10_000)
    Job.objects.filter(pk=job.pk).update(state="succeeded")
    expect(page.locator("#standing .badge")).to_have_text("Succeeded", timeout=10_000)
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)


def test_an_act_is_confirmed_while_figures_move(
    alice: Member, page: Page, sign_in_page: Any
) -> None:
    """The polls replace the form whose question is open."""
    job = a_job(alice.tenant, "running")
    sign_in_page("alice@acme.example")
    page.goto(f"/console/t/acme/jobs/{job.pk}/")
    page.get_by_role("button", name="Pause").click()
    question = page.get_by_role("dialog")
    expect(question).to_contain_text("Pause this job?")
    for _ in range(2):
        with page.expect_response(lambda answer: answer.url.endswith(f"{job.pk}/")):
            pass
    question.get_by_role("button", name="Pause the job").click()
    expect(page.get_by_text("A person paused it.")).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("The job goes on from its last checkpoint.")).to_be_visible()


def test_an_estimate_follows_what_is_chosen(alice: Member, page: Page, sign_in_page: Any) -> None:
    base = a_base(alice.tenant)
    chats = a_data_set(alice.tenant, "chats", "chats")
    sign_in_page("alice@acme.example")
    page.goto("/console/t/acme/jobs/")
    page.get_by_role("link", name="New job").click()
    estimate = page.locator("#estimate")
    expect(estimate).to_contain_text("Choose what is needed")
    page.get_by_label("Model").select_option(str(base.pk))
    page.get_by_label("Data set").select_option(str(chats.pk))
    expect(estimate).to_contain_text("about 39")  # 100 chats by 8, three times
    page.get_by_label("Epochs").fill("1")
    page.get_by_label("Epochs").blur()
    expect(estimate).to_contain_text("about 13")
    page.get_by_text("More parameters").click()
    page.get_by_label("Sequences of a step").fill("100")
    page.get_by_label("Sequences of a step").blur()
    expect(estimate).to_contain_text("about 1")
