import pytest
from console.isolation import report, routes
from tests.isolation.test_matrix import _prove, _same_database, no_row_security  # noqa: F401
from tests.isolation.unscoped import unscoped
@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(900)
async def test_v1(monkeypatch):
    found = await _prove(at_home=True)
    print("\n".join(report.summary(found)))
    assert 0
@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(900)
async def test_v2(monkeypatch):
    with unscoped() as stripped:
        found = await _prove()
    print("\n".join(report.summary(found)))
    assert 0
@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(900)
async def test_v3(no_row_security):
    found = await _prove()
    print("\n".join(report.summary(found)))
    assert 0
