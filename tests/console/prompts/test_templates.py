"""Prompt templates in the console: written, published, compared, tried and removed."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from audit.models import Event
from inference.models import PromptTemplate
from inference.templating.content import Content, TemplateMessage, check
from inference.templating.variables import Variable
from tenants.models import Member, User
from tests.console.conftest import SignIn

pytestmark = pytest.mark.django_db
LIST = "/console/t/acme/templates/"
N = Variable("n", "integer", 0)
GREETING = Content(
    messages=[TemplateMessage("system", "Be {{tone}}."), TemplateMessage("user", "Greet {{who}}.")],
    variables=[Variable("tone", default="polite"), Variable("who", max_length=20)],
)


@pytest.fixture
def greeting(bob: Member) -> PromptTemplate:
    return PromptTemplate.create(bob.tenant, "greeting", GREETING, by=bob.actor)


def rows(
    messages: list[tuple[str, str]], variables: list[tuple[str, str, str, str]], **more: Any
) -> dict[str, Any]:
    """As a browser sends them."""
    sent = {**more}
    for kind, count in (("messages", len(messages)), ("variables", len(variables))):
        sent |= {f"{kind}-TOTAL_FORMS": count, f"{kind}-INITIAL_FORMS": 0}
    for n, (role, content) in enumerate(messages):
        sent |= {f"messages-{n}-role": role, f"messages-{n}-content": content}
    for n, row in enumerate(variables):
        names = ("name", "type", "default", "max_length")
        sent |= {f"variables-{n}-{name}": value for name, value in zip(names, row, strict=True)}
    return sent


def text(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_template_is_written_and_found(bob: Member, sign_in: SignIn) -> None:
    client = sign_in(bob)
    assert "No template yet" in text(client, LIST)
    messages = [("system", "Be {{tone}}."), ("user", "Greet {{who}}."), ("user", " ")]
    variables = [
        ("tone", "string", "polite", ""),
        ("who", "string", "", "20"),
        ("", "string", "", ""),
    ]
    answer = client.post(f"{LIST}addition/", rows(messages, variables, name="greeting"))
    template = PromptTemplate.objects.get()
    assert answer.headers["Location"] == f"{LIST}{template.pk}/"
    assert template.version().content == GREETING
    assert "greeting" in text(client, LIST)
    actions = Event.objects.filter(action__startswith="template:").order_by("id")
    assert [(each.action, each.actor) for each in actions] == [
        ("template:create", bob.actor),
        ("template:publish", bob.actor),
    ]


@pytest.mark.parametrize(
    ("messages", "variables", "said"),
    [
        ([], [], "Send either messages, for a chat, or a prompt."),
        ([("user", "{{x}}")], [], "{{x}} names none of the variables."),
        ([("user", "x")], [("y", "string", "", "")], "The variable y does not occur in the text."),
        ([("user", "{{x}}")], [("x", "integer", "two", "")], "This is of the wrong type."),
        ([("user", "{{x}}")], [("x", "boolean", "maybe", "")], "This is of the wrong type."),
        ([("prompt", "x"), ("user", "y")], [], "A prompt for text completions stands alone."),
    ],
)
def test_what_is_wrong_is_said(
    messages: list[tuple[str, str]],
    variables: list[tuple[str, str, str, str]],
    said: str,
    bob: Member,
    sign_in: SignIn,
) -> None:
    answer = sign_in(bob).post(f"{LIST}addition/", rows(messages, variables, name="greeting"))
    assert said in answer.content.decode()
    assert not PromptTemplate.objects.exists()


def test_a_text_has_the_line_ends_of_the_template_before(bob: Member, sign_in: SignIn) -> None:
    """A browser sends others, whatever the page had."""
    content = Content(messages=[TemplateMessage("user", "One\n\nTwo {{n}}")], variables=[N])
    template = PromptTemplate.create(bob.tenant, "lines", content, by=bob.actor)
    sent = rows([("user", "One\r\n\r\nTwo {{n}}")], [("n", "integer", "0", "")], seen=1)
    sign_in(bob).post(f"{LIST}{template.pk}/edition/", sent)
    template.refresh_from_db()
    assert (template.latest, template.version().content) == (2, content)


def test_an_example_has_defaults_that_are_nothing(bob: Member, sign_in: SignIn) -> None:
    content = Content(prompt="Count to {{n}}", variables=[N])
    template = PromptTemplate.create(bob.tenant, "count", content, by=bob.actor)
    page = text(sign_in(bob), f"{LIST}{template.pk}/")
    assert "&quot;variables&quot;: {&quot;n&quot;: 0}" in page


@pytest.mark.django_db(transaction=True)
def test_a_form_that_is_sent_twice_at_once_makes_one(
    bob: Member, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second click comes while the first is under way."""
    both = Barrier(2)

    def checked(content: Content) -> None:
        check(content)
        both.wait(60)

    def send(client: Client) -> int:
        try:
            return client.post(f"{LIST}addition/", sent).status_code
        finally:
            connection.close()

    monkeypatch.setattr("inference.models.prompt_template.check", checked)
    sent = rows([("user", "Hello")], [], name="greeting")
    with ThreadPoolExecutor(2) as pool:
        statuses = list(pool.map(send, [sign_in(bob), sign_in(bob)]))
    assert sorted(statuses) == [200, 302]
    assert PromptTemplate.objects.get().latest == 1


def test_an_edition_is_a_new_version_and_the_old_one_stays(
    greeting: PromptTemplate, bob: Member, sign_in: SignIn
) -> None:
    client, page = sign_in(bob), f"{LIST}{greeting.pk}/"
    assert "Greet {{who}}." in text(client, f"{page}edition/")
    variables = [("who", "string", "", ""), ("n", "integer", "3", "")]
    sent = rows([("user", "Greet {{who}} {{n}} times.")], variables, seen=1)
    assert client.post(f"{page}edition/", sent).headers["Location"] == page
    greeting.refresh_from_db()
    assert (greeting.latest, greeting.version(1).content) == (2, GREETING)
    assert greeting.version().content.variables[1] == Variable("n", "integer", 3)
    refused = client.post(f"{page}edition/", sent)
    assert "Version 2 has been published meanwhile" in refused.content.decode()
    compared = text(client, f"{page}?version=2&against=1")
    assert "From version 1 to version 2" in compared
    assert '<span class="bg-red-lt">- Greet {{who}}.</span>' in compared
    assert '<span class="bg-green-lt">+ Greet {{who}} {{n}} times.</span>' in compared
    for nothing in ("?version=3", "?version=x", "?version=²", "?against=99999999"):
        assert client.get(page + nothing).status_code == 404


def test_a_version_is_tried(greeting: PromptTemplate, bob: Member, sign_in: SignIn) -> None:
    client, page = sign_in(bob), f"{LIST}{greeting.pk}/versions/1/trial/"
    shown = client.post(page, {"trial-tone": "terse", "trial-who": "<b>Al</b>"}).content.decode()
    assert "Be terse." in shown
    assert "Greet &lt;b&gt;Al&lt;/b&gt;." in shown
    for value, said in (("{{tone}}", "must not hold a placeholder"), ("x" * 21, "at most 20")):
        assert said in client.post(page, {"trial-who": value}).content.decode()
    assert not Event.objects.filter(action__startswith="completion:").exists()


def test_a_template_for_completions(bob: Member, sign_in: SignIn) -> None:
    client = sign_in(bob)
    variables = [("loud", "boolean", "true", ""), ("n", "number", "1.5", "")]
    sent = rows([("prompt", "{{n}} {{loud}}")], variables, name="story")
    page = client.post(f"{LIST}addition/", sent).headers["Location"]
    assert PromptTemplate.objects.get().version().content.prompt == "{{n}} {{loud}}"
    assert "/v1/completions" in text(client, page)
    tried = client.post(f"{page}versions/1/trial/", {"trial-loud": "no", "trial-n": "2"})
    assert "must be true or false" in tried.content.decode()


def test_it_is_removed(greeting: PromptTemplate, bob: Member, sign_in: SignIn) -> None:
    client = sign_in(bob)
    client.post(f"{LIST}{greeting.pk}/removal/")
    assert not PromptTemplate.objects.exists()
    assert Event.objects.filter(action="template:delete", actor=bob.actor).exists()


def test_auditors_read_members_and_operators_do_not(
    greeting: PromptTemplate, carol: Member, dave: Member, operator: User, sign_in: SignIn
) -> None:
    page = f"{LIST}{greeting.pk}/"
    assert "Greet" in text(sign_in(carol), page)
    assert sign_in(carol).post(f"{page}removal/").status_code == 403
    for nobody in (dave, operator):
        assert sign_in(nobody).get(page).status_code == 403
