"""No secret reaches a log line."""

from __future__ import annotations

from service.api.logs import redact


def test_secrets_are_hidden_by_name_and_by_shape() -> None:
    secret = "lth_abcd1234_" + "x" * 43
    line = redact(None, "info", {"Authorization": f"Bearer {secret}", "path": f"/v1?key={secret}", "status": 200})
    assert "x" * 10 not in str(line)
    assert line["status"] == 200
    assert line["path"] == "/v1?key=lth_abcd1234_[redacted]"
