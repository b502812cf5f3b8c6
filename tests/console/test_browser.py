"""The console in a real Chromium: what only a browser can tell."""

import re
import time
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from pytest_django.live_server_helper import LiveServer

from audit.actions import Action
from audit.models import Event
from inference.engines.health import reachability
from inference.models import Engine, Pool
from tenants.models import ApiKey, Link, Member, Tenant, User
from tenants.models.link import Purpose
from tests import chromium
from tests.console.asked import completion, refusal
from tests.console.conftest import PASSWORD
from tests.console.furnished import IN_PLATFORM, engine_room, furnish
from tests.e2e.ask import eventually

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    chromium.needed,
]


def test_from_the_first_run_link_to_a_tenants_first_key(db: None, page: Page) -> None:
    page.goto(urlsplit(Link.issue(Purpose.FIRST_RUN, by="test")).path)
    page.get_by_label("Email address").fill("grace@forebay.example")
    page.get_by_label("Password", exact=False).first.fill(PASSWORD)
    page.get_by_label("Password again").fill(PASSWORD)
    page.get_by_role("button", name="Set password and sign in").click()
    expect(page.get_by_role("heading", name="Whole platform")).to_be_visible()

    page.get_by_role("navigation").get_by_role("link", name="Tenants").click()
    page.locator("#id_name").fill("acme")
    page.get_by_label("Owner's email address").fill("alice@acme.example")
    page.get_by_role("button", name="Create tenant").click()
    expect(page.get_by_label("Invitation link")).to_have_value(re.compile("/welcome/"))

    page.get_by_role("link", name="Go to the tenant").click()
    page.get_by_label("Name").fill("fraud scoring")
    page.get_by_role("button", name="Create key").click()
    secret = page.get_by_label("API key", exact=True)
    expect(secret).to_have_value(re.compile("^sk-fb-"))
    page.get_by_role("button", name="Copy").first.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == secret.input_value()
    page.reload()
    expect(secret).to_have_count(0)
    page.get_by_role("navigation").get_by_role("link", name="Access").click()
    expect(page.get_by_role("link", name="fraud scoring")).to_be_visible()
    expect(secret).to_have_count(0)
    assert ApiKey.objects.count() == 1


def slowed(act: Any) -> Any:
    """Takes a second: a person has time to click again."""

    def slow(*positional: Any, **named: Any) -> Any:
        time.sleep(1)
        return act(*positional, **named)

    return slow


def click_twice(button: Locator) -> None:
    button.evaluate("button => { button.click(); setTimeout(() => button.click(), 200); }")


def test_two_clicks_send_a_form_once(
    operator: User, page: Page, sign_in_page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tenant, "open", slowed(Tenant.open))
    sign_in_page(operator.email)
    page.goto("/console/tenants/")
    posts = list[str]()
    page.on("request", lambda sent: posts.append(sent.url) if sent.method == "POST" else None)
    page.locator("#id_name").fill("initech")
    page.get_by_label("Owner's email address").fill("bill@initech.example")
    click_twice(page.get_by_role("button", name="Create tenant"))
    expect(page.get_by_text("Tenant initech is ready")).to_be_visible()
    assert len(posts) == 1


def test_revoking_asks_first(alice: Member, page: Page, sign_in_page: Any) -> None:
    ApiKey.issue(alice.tenant, "ci", by="test")
    sign_in_page("alice@acme.example")
    page.goto("/console/t/acme/keys/")
    page.get_by_role("button", name="Revoke").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Revoke the key ci?")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    assert ApiKey.objects.live().exists()
    page.get_by_role("button", name="Revoke").click()
    dialog.get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("The key ci is revoked.")).to_be_visible()
    assert not ApiKey.objects.live().exists()


def test_live_figures_move_and_admit_when_they_do_not(
    alice: Member, page: Page, context: BrowserContext, sign_in_page: Any
) -> None:
    sign_in_page("alice@acme.example")
    live = page.locator("#live")
    expect(live).to_contain_text("0 in the last 60 s")
    completion(alice.tenant)
    expect(live).to_contain_text("1 in the last 60 s", timeout=8000)
    expect(page.get_by_text("Live figures are paused")).to_be_hidden()
    context.route("**/live/", lambda route: route.abort())
    expect(page.get_by_text("Live figures are paused")).to_be_visible(timeout=8000)
    context.unroute("**/live/")
    expect(page.get_by_text("Live figures are paused")).to_be_hidden(timeout=8000)
    assert page.locator("#chart-requests canvas").count() == 1


def test_a_filter_changes_the_rows_and_the_address(
    alice: Member, page: Page, sign_in_page: Any
) -> None:
    sign_in_page("alice@acme.example")
    page.goto("/console/t/acme/audit/")
    expect(page.locator("#rows")).to_contain_text("Member added")
    page.get_by_label("What").select_option("session:login")
    expect(page.locator("#rows")).not_to_contain_text("Member added")
    expect(page.locator("#rows")).to_contain_text("Signed in")
    assert "action=session%3Alogin" in page.url
    page.reload()
    expect(page.get_by_label("What")).to_have_value("session:login")
    assert Event.objects.filter(action=Action.SESSION_LOGIN).count() == 1


def test_colours_rows_and_language_are_remembered(
    alice: Member, page: Page, sign_in_page: Any
) -> None:
    html = page.locator("html")
    page.emulate_media(color_scheme="dark")
    sign_in_page("alice@acme.example")
    expect(html).to_have_attribute("data-bs-theme", "dark")
    page.get_by_role("button", name="Colours and rows").click()
    page.get_by_role("button", name="Light", exact=True).click()
    expect(html).to_have_attribute("data-rows", "comfortable")
    page.get_by_role("button", name="Colours and rows").click()
    page.get_by_role("button", name="Compact rows").click()
    page.reload()
    expect(html).to_have_attribute("data-bs-theme", "light")
    expect(html).to_have_attribute("data-rows", "compact")
    page.get_by_role("contentinfo").get_by_role("button", name="简体中文").click()
    expect(page.get_by_role("heading", name="概览")).to_be_visible()
    page.goto("/console/t/acme/keys/")
    expect(page.get_by_role("button", name="创建密钥")).to_be_visible()


@pytest.mark.soak
def test_a_phone_shows_every_page_without_sideways_scrolling(
    alice: Member,
    operator: User,
    globex: Tenant,
    page: Page,
    sign_in_page: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(reachability._down, "mock", timezone.now())  # the widest badges there are
    texts = ("/audit/texts/", "/t/acme/templates/")  # not for operators
    urls = [url for url in furnish(alice) if not any(text in url for text in texts)]
    longest = Tenant.open("a-tenant-with-the-longest-name-there-is-".ljust(60, "x"), by="test")
    urls.append(f"/console/t/{longest.name}/")
    page.set_viewport_size({"width": 375, "height": 800})
    sign_in_page("op@forebay.example")
    for url in [*IN_PLATFORM, *urls]:
        page.goto(url)
        sideways = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(sideways) <= 0, url
        beside = page.locator("h1").evaluate("heading => heading.scrollWidth - heading.clientWidth")
        assert beside <= 0, f"{url}: the heading runs into what is beside it"


def test_two_rows_of_pages_lead_everywhere(alice: Member, page: Page, sign_in_page: Any) -> None:
    sign_in_page("alice@acme.example")
    page.set_viewport_size({"width": 375, "height": 800})
    sections = page.get_by_role("navigation", name="Sections")
    row = page.get_by_role("navigation", name="Pages")
    sections.get_by_role("link", name="Limits").click()
    row.get_by_role("link", name="Refusals").click()
    expect(page.get_by_role("heading", name="Refusals")).to_be_visible()
    here = row.locator("[aria-current=page]")
    expect(here).to_have_text("Refusals")
    expect(here).to_be_in_viewport()
    sections.get_by_role("link", name="Overview").click()
    expect(row).to_have_count(0)  # a section of one page


def test_a_key_is_set_up_and_rotated(alice: Member, page: Page, sign_in_page: Any) -> None:
    sign_in_page("alice@acme.example")
    page.goto("/console/t/acme/keys/")
    page.get_by_label("Name").fill("fraud scoring")
    page.get_by_text("Scopes, models, addresses, limits").click()
    page.get_by_label("Management: read").check()
    page.get_by_label("Allowed addresses").fill("nonsense")
    page.get_by_role("button", name="Create key").click()
    expect(page.get_by_text("is not an IP address")).to_be_visible()
    page.get_by_label("Allowed addresses").fill("192.0.2.0/24")
    page.get_by_role("button", name="Create key").click()
    expect(page.get_by_label("API key", exact=True)).to_have_value(re.compile("^sk-fb-"))
    page.get_by_role("link", name="fraud scoring").click()
    expect(page.get_by_text("192.0.2.0/24").first).to_be_visible()
    rotation = page.locator("form").filter(has=page.get_by_role("button", name="Rotate key"))
    rotation.get_by_label("The old key works for").select_option("1")
    rotation.get_by_role("button", name="Rotate key").click()
    expect(page.get_by_label("API key", exact=True)).to_have_value(re.compile("^sk-fb-"))
    expect(page.get_by_text("The old key works until")).to_be_visible()
    assert ApiKey.objects.filter(scopes=["inference", "management:read"]).count() == 2


def test_people_teams_and_grants(alice: Member, bob: Member, page: Page, sign_in_page: Any) -> None:
    sign_in_page("alice@acme.example")
    page.goto("/console/t/acme/members/")
    page.get_by_role("link", name="Bob").click()
    page.get_by_label("Role").select_option("auditor")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Bob is now: Auditor.")).to_be_visible()
    page.goto("/console/t/acme/teams/")
    page.get_by_label("Name").fill("risk")
    page.get_by_role("button", name="Create team").click()
    page.get_by_label("Add a member").select_option("bob@acme.example")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("button", name="Take out")).to_be_visible()
    page.goto("/console/t/acme/models/")
    page.get_by_role("button", name="Restrict").click()
    page.get_by_role("dialog").get_by_role("button", name="Restrict").click()
    page.get_by_label("Team or key").select_option("risk")
    page.get_by_role("button", name="Grant").click()
    expect(page.get_by_text("risk may use mock.")).to_be_visible()


def test_a_quota_a_raise_and_its_approval(
    alice: Member, erin: Member, page: Page, sign_in_page: Any
) -> None:
    sign_in_page("erin@acme.example")
    page.goto("/console/t/acme/quotas/")
    page.get_by_label("At most").fill("1000")
    page.get_by_role("button", name="Set quota").click()
    page.get_by_role("link", name="The whole tenant").click()
    page.get_by_label("How much more").fill("500")
    tomorrow = (timezone.now() + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M")
    page.get_by_label("Until (UTC)").fill(tomorrow)
    page.get_by_label("Reason").fill("month end")
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_text("Another person has to decide.")).to_be_visible()
    page.context.clear_cookies()
    sign_in_page("alice@acme.example")
    page.goto("/console/t/acme/raises/")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("The increase applies from the next request on")).to_be_visible()
    page.goto("/console/t/acme/quotas/")
    expect(page.get_by_text("raised by")).to_contain_text("500")


def test_the_first_error_of_a_form_is_in_sight_and_has_the_focus(
    operator: User, page: Page, sign_in_page: Any
) -> None:
    engine_room()
    sign_in_page(operator.email)
    page.goto("/console/pools/")
    form = page.locator("form").filter(has=page.get_by_role("button", name="Add engine"))
    form.get_by_label("Name").fill("second")
    form.get_by_label("Pool").select_option("the-first-pool-of-that-model")
    form.get_by_label("Address").fill("http://127.0.0.1:9/v1")
    form.locator("summary", has_text="Options").click()
    form.get_by_label("Further options as JSON").fill("[]")
    form.get_by_role("button", name="Add engine").click()
    expect(page.get_by_text("Enter a JSON object.")).to_be_in_viewport()
    expect(form.get_by_label("Further options as JSON")).to_be_focused()


# What is written on a canvas, which tells nobody.
CANVAS_TEXTS = """
  window.canvasTexts = [];
  const { fillText } = CanvasRenderingContext2D.prototype;
  CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
    canvasTexts.push(text);
    return fillText.call(this, text, ...place);
  };
"""


def test_charts_have_the_clock_of_the_rest_of_the_page(
    alice: Member, page: Page, context: BrowserContext, sign_in_page: Any
) -> None:
    completion(alice.tenant)
    sign_in_page("alice@acme.example")
    context.add_cookies(
        [{"name": "forebay_time_zone", "value": "Asia/Kathmandu", "url": page.url}]  # UTC+5:45
    )
    page.add_init_script(CANVAS_TEXTS)
    page.goto("/console/t/acme/")
    expect(page.get_by_text("Times are in Asia/Kathmandu")).to_be_visible()
    ticks = eventually(lambda: page.evaluate("canvasTexts.filter((text) => /^..:..$/.test(text))"))
    now = timezone.now() + timedelta(hours=5, minutes=45)
    minutes = {f"{now - timedelta(minutes=n):%H:%M}" for n in range(40)}
    assert set(ticks) <= minutes, (ticks, now)


def test_a_refusal_is_looked_up(alice: Member, page: Page, sign_in_page: Any) -> None:
    row = refusal(alice.tenant, actor=alice.actor, tier="rate", limit=77)
    sign_in_page("alice@acme.example")
    page.goto("/console/t/acme/limits/")
    page.get_by_label("Id of a refusal").fill(f"ref_{row.pk.hex}")
    page.get_by_role("button", name="Explain").click()
    expect(page.get_by_role("heading", name="Why this was refused")).to_be_visible()
    expect(page.get_by_text("77").first).to_be_visible()


def test_engines_are_drained_and_removed_while_figures_move(
    operator: User, page: Page, sign_in_page: Any
) -> None:
    engine_room()
    sign_in_page("op@forebay.example")
    page.goto("/console/pools/")
    row = page.get_by_role("row").filter(has_text="an-engine-of-that-pool")
    row.get_by_role("button", name="Drain").click()
    expect(page.get_by_text("takes no new requests")).to_be_visible()
    row.get_by_role("button", name="Remove").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Remove the engine an-engine-of-that-pool?")
    with page.expect_response(re.compile("/pools/live/")):
        pass  # the question outlives what is exchanged beneath it
    dialog.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("an-engine-of-that-pool is removed")).to_be_visible()
    assert not Engine.objects.filter(from_file=False).exists()


def test_pools_are_ordered_by_keyboard(operator: User, page: Page, sign_in_page: Any) -> None:
    model = engine_room().pool.model
    sign_in_page("op@forebay.example")
    page.goto("/console/models/")
    page.get_by_role("button", name="Try the-second-pool-of-that-model earlier").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("are tried in this order from now on")).to_be_visible()
    names = [pool.name for pool in model.pools.all()]
    assert names == ["the-second-pool-of-that-model", "the-first-pool-of-that-model"]


def test_pools_are_dragged_into_their_order(operator: User, page: Page, sign_in_page: Any) -> None:
    model = engine_room().pool.model
    third = Pool.add(model, "the-third-pool-of-that-model", by="test")
    sign_in_page("op@forebay.example")
    page.goto("/console/models/")
    row = page.get_by_role("row").filter(has_text=third.name)
    first = page.get_by_role("row").filter(has_text="the-first-pool-of-that-model")
    row.drag_to(page.get_by_role("heading", name=model.name))
    expect(page.locator("tr[data-pool]").last).to_contain_text(third.name)  # no place: it goes back
    row.drag_to(first, target_position={"x": 40, "y": 2})
    expect(page.get_by_text("are tried in this order from now on")).to_be_visible()
    found = [pool.name.split("-")[1] for pool in model.pools.all()]
    assert found == ["third", "first", "second"]
    declared = page.locator("tr[data-pool]").filter(has_text="from file")
    expect(declared.first).not_to_have_attribute("draggable", "true")


def test_closing_a_tenant_wants_its_name(
    acme: Tenant, operator: User, page: Page, sign_in_page: Any
) -> None:
    sign_in_page("op@forebay.example")
    page.goto("/console/t/acme/settings/")
    page.get_by_text("Close for good").click()
    page.locator("#id_closure_reason").fill("contract ended")
    for name in ("acm", "acme"):
        page.get_by_label("Type the tenant's name").fill(name)
        page.get_by_role("button", name="Close tenant").click()
        page.get_by_role("dialog").get_by_role("button", name="Close").click()
        page.wait_for_load_state()
    expect(page.get_by_text("This tenant is closing").first).to_be_visible()
    assert Tenant.objects.get().state == "closing"


def test_it_works_without_scripts(
    alice: Member, browser: Browser, live_server: LiveServer, sign_in_page: Any, page: Page
) -> None:
    sign_in_page("alice@acme.example")
    plain = browser.new_context(base_url=live_server.url, java_script_enabled=False)
    plain.add_cookies(page.context.cookies())  # type: ignore[arg-type]
    bare = plain.new_page()
    bare.goto("/console/t/acme/quotas/")
    bare.get_by_label("At most").fill("1000")
    bare.get_by_role("button", name="Set quota").click()
    bare.get_by_role("link", name="The whole tenant").click()
    bare.get_by_role("button", name="Delete quota").click()
    expect(bare.get_by_text("The quota has been deleted.")).to_be_visible()
    bare.goto("/console/t/acme/keys/")
    bare.get_by_label("Name").fill("ci")
    bare.get_by_role("button", name="Create key").click()
    expect(bare.get_by_label("API key", exact=True)).to_have_value(re.compile("^sk-fb-"))
    plain.close()
