"""No tenant holds more of the engines than its share."""

from __future__ import annotations

from workers.tenant_share import TenantShare


def test_a_tenant_at_its_limit_waits_and_others_go_on() -> None:
    share = TenantShare(2, ["a", "a", "b"])
    assert not share.has_room("a")
    assert not share.take("a")
    assert share.take("b")
    assert not share.take("b")


def test_what_is_taken_counts_at_once() -> None:
    share = TenantShare(1, [])
    assert share.take("a")
    assert not share.has_room("a")
    assert share.has_room("b")
