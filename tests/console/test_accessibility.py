"""axe-core finds nothing to complain about, on any page, in either theme.

The pages come from the URLconf: one that is added there is visited, or has its reason in ELSEWHERE.
Each day has its half of them; `make soak` visits all.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any
from urllib.parse import urljoin, urlsplit
from uuid import uuid4
from zlib import crc32

import pytest
from allauth.mfa.models import Authenticator
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from audit.erasure import deletion, execution
from audit.keys.keyring import keyring
from audit.models import DeletionRequest, Event
from console.isolation.expected import PAGES, addresses
from console.isolation.sample_objects import Objects
from console.privacy.own_data import link_of
from inference.chat import conversations, exchanges
from inference.chat.collection import sharing
from inference.chat.conversations import message_aad
from inference.chat.protocol import Send
from inference.models import Audience, Engine, Replacement
from inference.reasoning import Said, packed
from tenants.models import ApiKey, Link, Member, User
from tenants.models.link import Purpose
from tenants.roles import Role
from tests import chromium, soak
from tests.console.account.conftest import with_app
from tests.console.account.virtual_key import virtual_key
from tests.console.asked import completion
from tests.console.conftest import PASSWORD, SignIn, join
from tests.console.furnished import furnish

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.django_db(transaction=True),
    chromium.needed,
]
# Addresses that answer GET with something that is no page of ours, or lead to another one.
ELSEWHERE = {
    "": "leads on",
    "login/with/<slug:provider_id>/": "leads to an identity provider",
    "login/with/<slug:provider_id>/callback/": "comes from one",
    "i18n/setlang/": "leads back",
    "jsi18n/": "a script",
    "api/v1/": "nothing is there",
    "api/v1/schema/": "for programs",
    "api/v1/docs/": "Swagger UI",
    "v1/docs": "Swagger UI",
    "login/forgotten/": "needs a mail server; looks like login/",
    "console/notices/<uuid:target>/": "looks like that of a tenant",
    "account/password/first/": "for people without a password; looks like account/password/",
    "console/live/": "a part of a page",
    "console/chart/": "a part of a page",
    "console/shares/": "a part of a page",
    "console/trends/": "a part of a page",
    "console/models/live/": "a part of a page",
    "console/pools/live/": "a part of a page",
    "console/pools/<uuid:pool>/queue/live/": "a part of a page",
    "console/pools/engines/<uuid:engine>/live/": "a part of a page",
    "console/pools/engines/<uuid:engine>/log/": "a part of a page",
    "console/pools/replacements/<uuid:replacement>/live/": "a part of a page",
    "console/search/": "for the page's script",
    "console/t/<slug:tenant>/search/": "for the page's script",
    "console/usage/export/": "a file",
    "console/requests/export/": "a file",
    "console/compliance/drills/": "a file",
    "console/refusals/find/": "leads on",
    "console/t/<slug:tenant>/live/": "a part of a page",
    "console/t/<slug:tenant>/evaluations/<uuid:evaluation>/live/": "a part of a page",
    "console/t/<slug:tenant>/policy-evaluations/<uuid:policy_evaluation>/live/": (
        "a part of a page"
    ),
    "console/t/<slug:tenant>/assistants/<uuid:assistant>/versions/<int:number>/live/": (
        "a part of a page"
    ),
    "console/t/<slug:tenant>/jobs/addition/estimate/": "a part of a page",
    "console/t/<slug:tenant>/jobs/<uuid:job>/curves/": "for the page's script",
    "console/t/<slug:tenant>/queue/live/": "a part of a page",
    "console/t/<slug:tenant>/inbox/list/": "a part of a page",
    "console/t/<slug:tenant>/inbox/<uuid:dialogue>/live/": "a part of a page",
    "console/t/<slug:tenant>/chart/": "a part of a page",
    "console/t/<slug:tenant>/shares/": "a part of a page",
    "console/t/<slug:tenant>/trends/": "a part of a page",
    "console/t/<slug:tenant>/usage/export/": "a file",
    "console/t/<slug:tenant>/requests/export/": "a file",
    "console/t/<slug:tenant>/usage/sessions/export/": "a file",
    "console/t/<slug:tenant>/refusals/find/": "leads on",
    "console/t/<slug:tenant>/audit/kit/file/": "a file",
    "console/t/<slug:tenant>/audit/kit/witness/": "a file",
    "chat/conversations/": "for the page's script",
    "chat/c/<uuid:conversation>/messages/": "for the page's script",
    "chat/c/<uuid:conversation>/export/": "a file",
    "chat/folders/": "for the page's script",
    "chat/quotas/": "for the page's script",
    "chat/shares/": "for the page's script",
    "chat/models/": "for the page's script",
    "chat/presets/": "for the page's script",
    "chat/attachments/": "for the page's script",
    "chat/attachments/<uuid:attachment>/": "a file",
}
FOR_OTHERS = {  # than an owner with second factors: visited below, one by one
    "login/",
    "login/second-factor/",
    "welcome/<str:token>/",
    "erasure/<str:token>/",
    "chat/s/<str:token>/",
    "account/two-factor/app/",
}
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
STILL = "*, ::before, ::after { transition: none !important; animation: none !important; }"
UNFOLDED = "document.querySelectorAll('#live details').forEach((each) => (each.open = true))"
# What all pages share is looked at once, and of a long table its first rows.
KNOWN = ["header.navbar", ".page-tabs", "footer.footer", "tbody tr:nth-child(n+13)"]
# A theme changes colours and nothing else. Contrasts, which take axe far longer than all else, are
# looked at once for text that looks the same: in its own colour and font, on the same backgrounds
# all the way up, in boxes that are placed alike.
RUN = """async ([exclude, known]) => {
  const found = [], looks = new Set(known), CONTRAST = 'color-contrast';
  const tell = (theme, { violations }) => {
    for (const { id, nodes } of violations)
      for (const { target, any, html } of nodes)
        found.push(`${theme}: ${id}: ${target.join(' ')}: ${any[0]?.message ?? html}`);
  };
  const asked = { resultTypes: ['violations'], preload: false };
  const others = { ...asked, rules: { [CONTRAST]: { enabled: false } } };
  for (const theme of ['light', 'dark']) {
    document.documentElement.dataset.bsTheme = theme;
    if (theme === 'light') tell(theme, await axe.run({ exclude }, others));
    const include = newToSee(looks);
    if (include.length) tell(theme, await axe.run({ include }, { ...asked, runOnly: [CONTRAST] }));
  }
  return [found, [...looks]];

  function newToSee(looks) {
    const grounds = new Map();
    return [...document.body.querySelectorAll('*')].filter((one) => {
      if (!says(one)) return false;
      const { color, fontSize, fontWeight, textShadow } = getComputedStyle(one);
      const kind = one.tagName + one.matches(':disabled, [aria-disabled=true]');
      const own = [kind, color, fontSize, fontWeight, textShadow].join();
      const look = own + ground(one, grounds);
      return !looks.has(look) && looks.add(look);
    });
  }
  function says(one) {
    // What is hidden, axe passes over: its look is not known by that.
    if (!one.checkVisibility({ opacityProperty: true, visibilityProperty: true })) return false;
    const { width, height } = one.getBoundingClientRect();
    const texts = [...one.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
    return width > 1 && height > 1 && (one.matches('input, select, textarea')
      || texts.some((text) => text.data.trim()));
  }
  function ground(one, grounds) {
    if (!one) return '';
    if (!grounds.has(one)) {
      const { backgroundColor, backgroundImage, opacity, position } = getComputedStyle(one);
      const own = [backgroundColor, backgroundImage, opacity, position].join();
      const above = ground(one.parentElement, grounds);
      const thin = opacity !== '1' || /, 0?\\.\\d+\\)$/.test(backgroundColor); // twice is more
      grounds.set(one, !thin && above.endsWith(own) ? above : `${above}|${own}`);
    }
    return grounds.get(one);
  }
}"""


# On a phone: what acts on a row, or says how it is, and stands beside the screen.
OFF_SCREEN = """() => [...document.querySelectorAll('tbody button, tbody .btn')]
  .concat(...document.querySelectorAll('tbody td:last-child .badge'))
  .filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 1)
  .map((one) => one.textContent.trim())
  .concat(document.documentElement.scrollWidth > innerWidth + 1 ? ['the page'] : [])"""
PHONE = 375


class Inspector:
    """Looks at pages as one person."""

    def __init__(self, page: Page) -> None:
        self.page = page
        assert page.viewport_size
        self.narrow = page.viewport_size["width"] <= PHONE
        self.found: list[str] = []
        self.known: list[list[str]] = []
        self.looks: list[str] = []  # of text, that had contrast enough or was complained of

    def visit(self, address: str, status: int = 200) -> None:
        answer = self.page.goto(address)
        assert answer
        assert answer.status == status, address
        assert self.page.url.endswith(address), self.page.url
        self.look()

    def look(self) -> None:
        assert self.page.locator("html[lang] h1").count() == 1, self.page.url
        self.page.add_style_tag(content=STILL)
        self.page.evaluate(UNFOLDED)
        found, self.looks = self.page.evaluate(RUN, [self.known, self.looks])
        off_screen = self.page.evaluate(OFF_SCREEN) if self.narrow else []
        found += [f"beside the screen: {said}" for said in off_screen]
        self.found += [f"{self.page.url} {said}" for said in found]

    def read_in(self, language: str) -> None:
        everywhere = urljoin(self.page.url, "/")  # the path of an address bounds its cookie
        cookie = {"name": "django_language", "value": language, "url": everywhere}
        self.page.context.add_cookies([cookie])  # type: ignore[list-item]


Inspect = Callable[..., Inspector]


@pytest.fixture
def inspect(
    browser: Browser,
    live_server: LiveServer,
    sign_in: SignIn,
) -> Iterator[Inspect]:
    with ExitStack() as contexts:

        def inspector(who: User | Member | None = None, width: int = 1440) -> Inspector:
            url = live_server.url
            context = browser.new_context(
                base_url=url,
                locale="en-US",
                bypass_csp=True,
                viewport={"width": width, "height": 900},
            )
            contexts.callback(context.close)
            context.add_init_script(AXE)
            if who:
                session = sign_in(who).cookies["forebay_session"].value
                cookie = {"name": "forebay_session", "value": session, "url": url}
                context.add_cookies([cookie])  # type: ignore[list-item]
            return Inspector(context.new_page())

        yield inspector


@pytest.fixture
def certified(alice: Member, monkeypatch: pytest.MonkeyPatch) -> DeletionRequest:
    """An erasure that is over."""
    monkeypatch.setattr(execution, "QUIET", timedelta(0))
    gone = join(alice.tenant, "gone@acme.example", Role.MEMBER)
    deletion.ask(gone.tenant_id, gone.subject_id, by=gone.actor, decides=True)
    execution.work()
    return DeletionRequest.objects.get(subject_id=gone.subject_id)


@pytest.fixture
def given(alice: Member, certified: DeletionRequest) -> Callable[[str], str]:
    """What an address names, in a tenant that has one of everything."""
    furnish(alice)
    objects = Objects(alice.tenant, "acme")
    objects.asked_with, _text = ApiKey.issue(alice.tenant, "batches", by="test")
    objects.furnish()
    named: dict[str, Any] = {
        "tenant": "acme",
        "check": "role_matrix",
        "engine": Engine.objects.get(from_file=False).pk,
        "pool": Engine.objects.get(from_file=False).pool_id,
        "any_event": objects.standing("event"),
        "completion": request_on_record(alice),
        "conversation": conversation(alice),
        "deletion": certified.pk,
        "replacement": replacement().pk,
        "number": 1,
    }
    return lambda name: str(named.get(name) or objects.standing(name))


def replacement() -> Replacement:
    """Of an engine by a version that is being loaded."""
    engine = Engine.objects.get(from_file=False)
    names = {"old_name": engine.name, "new_name": "mock-2"}
    return Replacement.objects.create(pool=engine.pool, old=engine, **names)


def request_on_record(member: Member) -> Any:
    """A request of theirs with its event, and with times for its course."""
    row = completion(member.tenant, member=member, queue_ms=20)
    same = {"tenant_id": row.tenant_id, "request_id": row.pk, "actor": member.actor}
    Event.objects.create(at=row.created_at, action="completion:received", **same)
    return row.pk


def conversation(member: Member) -> Any:
    """With an answer that was thought about, and an older message left out."""
    asked = exchanges.put(member, Send("What is a forebay?", "mock", uuid4()), uuid4(), left_out=1)
    text = "A **basin**, `x`:\n\n```python\nx = 1  # so\n```\n\n> quoted\n\n|a|b|\n|-|-|\n|1|2|"
    cipher = keyring.of_subject_now(member.tenant_id, member.subject_id)
    said = packed(Said(text, "Hm, let me think."))
    asked.answer.ciphertext = cipher.encrypt(said, message_aad(asked.answer))
    asked.answer.save()
    return asked.conversation.id


def test_whatever_answers_is_visited(alice: Member, sign_in: SignIn) -> None:
    """An address that is not to be seen answers GET with 405."""
    pages = {page.path: page for page in PAGES}
    assert {path for path in addresses() if not path.startswith("api/")} <= pages.keys()
    assert ELSEWHERE.keys() | FOR_OTHERS <= pages.keys()
    client = sign_in(alice)
    for path in pages.keys() - visited() - ELSEWHERE.keys() - FOR_OTHERS:
        address = re.sub(
            r"<\w+:(\w+)>", lambda found: "1" if found[0].startswith("<int") else str(uuid4()), path
        )
        assert client.get(f"/{address}").status_code == 405, path


KEYS = {"account/two-factor/keys/<int:pk>/", "account/two-factor/keys/<int:pk>/removal/"}


def visited() -> set[str]:
    """By an owner who is an operator too."""
    return {page.path for page in PAGES if page.sees} - ELSEWHERE.keys() - FOR_OTHERS | KEYS


def twins() -> set[str]:
    """Returns the platform's pages that show what a tenant's page of the same name shows."""
    pages = visited()
    tenants = {page: page.replace("console/", "console/t/<slug:tenant>/", 1) for page in pages}
    return {page for page, tenants_page in tenants.items() if tenants_page in pages - {page}}


def todays() -> set[str]:
    """Returns the pages to look at: all in `make soak`, else a quarter, each day another one."""
    if soak.EVERYTHING:
        return visited()
    today = datetime.now(UTC).toordinal()
    return {page for page in visited() - twins() if (crc32(page.encode()) + today) % 4 == 0}


LOOKS = [
    (1440, "en"),
    *(pytest.param(*look, marks=pytest.mark.soak) for look in [(PHONE, "en"), (PHONE, "zh-hans")]),
    pytest.param(1440, "zh-hans", marks=pytest.mark.soak),
]


@pytest.mark.slow(seconds=60)
@pytest.mark.parametrize(("width", "language"), LOOKS)
def test_axe_finds_nothing_for_an_owner(
    alice: Member, given: Callable[[str], str], inspect: Inspect, width: int, language: str
) -> None:
    User.objects.filter(pk=alice.user.pk).update(is_operator=True)
    inspector = inspect(alice, width)
    with virtual_key(inspector.page):
        inspector.page.goto("/account/two-factor/keys/new/")
        inspector.page.get_by_role("button", name="Add", exact=True).click()
        expect(inspector.page.get_by_role("heading", name="Recovery codes")).to_be_visible()
        inspector.look()
    with_app(alice.user)
    enrolled = Authenticator.objects.get(user=alice.user, type="webauthn").pk
    inspector.visit("/console/t/acme/")  # with all that pages share
    inspector.read_in(language)
    inspector.known = [[each] for each in KNOWN]
    for path in sorted(todays()):
        address = re.sub(
            r"<\w+:(\w+)>",
            lambda found: str(enrolled) if found[1] == "pk" else given(found[1]),
            path,
        )
        inspector.visit(f"/{address}")
    stranger = inspect()
    stranger.visit("/login/")
    stranger.page.get_by_label("Email address").fill(alice.user.email)
    stranger.page.get_by_label("Password").fill(PASSWORD)
    stranger.page.get_by_role("button", name="Sign in", exact=True).click()
    stranger.page.wait_for_url("**/login/second-factor/")
    stranger.look()
    assert not inspector.found + stranger.found, "\n".join(inspector.found + stranger.found)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_sees_what_is_hard_to_read(theme: str, inspect: Inspect, db: None) -> None:
    """Also where other text of that colour is fine, since it stands on another ground."""
    stranger = inspect()
    stranger.visit("/login/")
    stranger.page.add_style_tag(
        content=".fine { color: #999; background: #000 }"
        f"[data-bs-theme={theme}] .hard {{ color: #999; background: #fff }}"
    )
    stranger.page.evaluate(
        """() => document.querySelector('form').insertAdjacentHTML(
          'beforeend', '<p class=fine>Fine</p><p class=fine>Fine</p>'
          + '<details><summary>More</summary><p class=hard>Hard</p></details>')"""
    )
    stranger.look()
    assert stranger.found == [], "it is folded"
    stranger.page.locator("summary", has_text="More").click()
    stranger.look()
    (said,) = stranger.found
    assert f" {theme}: color-contrast: " in said
    stranger.look()
    assert stranger.found == [said], "what looks the same is told once"


def test_axe_finds_nothing_for_others(
    alice: Member, dave: Member, certified: DeletionRequest, inspect: Inspect
) -> None:
    member = inspect(dave)
    conversation = conversations.start(dave, "mock", "A shared question")
    member.visit("/chat/")
    member.visit(urlsplit(sharing.share(conversation, Audience.MEMBERS, 1)[1]).path)
    member.visit("/account/two-factor/app/")
    member.visit("/console/t/acme/", 403)
    nobody = inspect(User.objects.create_user("nobody@acme.example", PASSWORD))
    nobody.visit("/chat/", 403)
    stranger = inspect()
    stranger.visit("/nope/", 404)
    stranger.visit("/welcome/x/", 410)
    stranger.visit(urlsplit(Link.issue(Purpose.FIRST_RUN, by="test")).path)
    stranger.visit(link_of(certified))
    stranger.visit(link_of(certified) + "?certificate")
    assert member.found + nobody.found + stranger.found == []
