import pytest, os
from playwright.sync_api import expect
from tests.console.test_browser import *  # noqa
from console.compliance import running

@pytest.mark.django_db(transaction=True)
def test_look(alice, operator, globex, page, sign_in):
    running.all_night()
    sign_in("op@forebay.example")
    out="/tmp/look"; os.makedirs(out, exist_ok=True)
    def shots(lang):
        for w in (1280, 375):
            page.set_viewport_size({"width": w, "height": 900})
            for n,url in (("all","/console/compliance/"),("tenant","/console/t/acme/compliance/"),("check","/console/compliance/checks/role_matrix/")):
                page.goto(url)
                sideways="document.documentElement.scrollWidth - document.documentElement.clientWidth"
                assert page.evaluate(sideways) <= 0, (url,w)
                page.screenshot(path=f"{out}/{n}-{lang}-{w}.png", full_page=False)
                page.evaluate("window.scrollTo(0, 900)")
                page.screenshot(path=f"{out}/{n}-{lang}-{w}-2.png", full_page=False)
    shots("en")
    with page.expect_download() as d:
        page.goto("/console/compliance/"); page.get_by_role("button", name="Report to print").click()
    d.value.save_as(f"{out}/report-en.html")
    page.set_viewport_size({"width": 1280, "height": 900})
    page.get_by_role("contentinfo").get_by_role("button", name="简体中文").click()
    shots("zh")
    with page.expect_download() as d:
        page.goto("/console/compliance/"); page.get_by_role("button", name="打印版报告").click()
    d.value.save_as(f"{out}/report-zh.html")
    for l in ("en","zh"):
        page.goto(f"file://{out}/report-{l}.html"); page.pdf(path=f"{out}/report-{l}.pdf"); page.screenshot(path=f"{out}/report-{l}.png")
