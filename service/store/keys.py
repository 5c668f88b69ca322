"""Object keys: one function per kind, each built from checked parts and nothing else."""

from __future__ import annotations

import re

from lth_core.canonical import sha256_hex

ULID = r"[0-7][0-9A-HJKMNP-TV-Z]{25}"
_TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_HEX = re.compile(r"[0-9a-f]{64}")
_SEARCH = re.compile(f"srch_{ULID}")
_KEY_ID = re.compile(r"[0-9A-Za-z]{8}")
_SUBJECT = re.compile(f"(srch|tkt)_{ULID}")
_ARTEFACT = re.compile(r"[a-z0-9][a-z0-9_.-]{0,80}")
_UPLOAD = re.compile(f"upl_{ULID}")
_FILE = re.compile(r"[a-z0-9][a-z0-9_]{0,62}\.(json|safetensors)")
_NONCE = re.compile(r"[0-9a-z]{8,64}")
_SEARCH_FOLDER = re.compile(rf"searches/([^/]+)/(srch_{ULID})(/.*)?")


def _part(pattern: re.Pattern[str], value: str, what: str) -> str:
    if not pattern.fullmatch(value):
        raise ValueError(f"{what} must match {pattern.pattern}, got {value!r}")
    return value


def _number(value: int, width: int, what: str) -> str:
    if not 0 <= value < 10**width:
        raise ValueError(f"{what} must be >= 0 and < 10**{width}, got {value}")
    return f"{value:0{width}d}"


def _tenant(tenant: str) -> str:
    return _part(_TENANT, tenant, "tenant")


def is_search_id(text: str) -> bool:
    """Tell whether a text has the form of a search id."""
    return _SEARCH.fullmatch(text) is not None


def is_upload_id(text: str) -> bool:
    """Tell whether a text has the form of an upload's id."""
    return _UPLOAD.fullmatch(text) is not None


def is_key_id(text: str) -> bool:
    """Tell whether a text has the form of an API key's public id."""
    return _KEY_ID.fullmatch(text) is not None


def is_dataset_name(text: str) -> bool:
    """Tell whether a text can be the name of a data set."""
    return _NAME.fullmatch(text) is not None


def claim(tenant: str, idempotency_key: str) -> str:
    """Key of the claim that ties an idempotency key to one search."""
    return f"claims/{_tenant(tenant)}/{sha256_hex(idempotency_key.encode())}.json"


def searches(tenant: str) -> str:
    """Prefix of a tenant's searches."""
    return f"searches/{_tenant(tenant)}/"


def search(tenant: str, search_id: str) -> str:
    """Prefix of one search."""
    return f"{searches(tenant)}{_part(_SEARCH, search_id, 'search id')}/"


def spec(tenant: str, search_id: str) -> str:
    """Key of the accepted search."""
    return f"{search(tenant, search_id)}spec.json"


def log(tenant: str, search_id: str) -> str:
    """Prefix of a search's numbered log."""
    return f"{search(tenant, search_id)}log/"


def log_record(tenant: str, search_id: str, number: int) -> str:
    """Key of one record of a search's log."""
    return f"{log(tenant, search_id)}{_number(number, 6, 'record number')}.json"


def results(tenant: str, search_id: str, sha256: str) -> str:
    """Key of a search's results, named by digest."""
    return f"{search(tenant, search_id)}results/{_part(_HEX, sha256, 'digest')}.json"


def derived(tenant: str, search_id: str, subject: str, kind: str, name: str) -> str:
    """Key of the record that names the blob of an analysis or report of an ended search, or of one of its tickets."""
    folder = f"{search(tenant, search_id)}results/{_part(_NAME, kind, 'kind')}"
    return f"{folder}/{_part(_SUBJECT, subject, 'subject')}/{_part(_ARTEFACT, name, 'name')}.json"


def lineage(tenant: str, key: str) -> str:
    """Prefix of one lineage's manifests."""
    return f"lineages/{_tenant(tenant)}/{_part(_HEX, key, 'lineage key')}/"


def manifest(tenant: str, key: str, level: int) -> str:
    """Key of one level's manifest: the object whose existence commits the level."""
    return f"{lineage(tenant, key)}L{_number(level, 3, 'level')}.json"


def uploads(tenant: str) -> str:
    """Prefix of a tenant's uploaded tickets."""
    return f"uploads/{_tenant(tenant)}/"


def upload(tenant: str, upload_id: str) -> str:
    """Key of the record of an uploaded ticket."""
    return f"{uploads(tenant)}{_part(_UPLOAD, upload_id, 'upload id')}.json"


def blob(tenant: str, sha256: str) -> str:
    """Key of a content-addressed blob."""
    return f"blobs/{_tenant(tenant)}/{_part(_HEX, sha256, 'digest')}"


def datasets(name: str | None = None) -> str:
    """Prefix of all registered data sets, or of those of one name."""
    return "datasets/" if name is None else f"datasets/{_part(_NAME, name, 'data set name')}/"


def dataset_file(name: str, digest: str, file: str) -> str:
    """Key of one file of a registered data set."""
    return f"{datasets(name)}{_part(_HEX, digest, 'digest')}/{_part(_FILE, file, 'file name')}"


def api_key(key_id: str) -> str:
    """Key of an API key's record."""
    return f"keys/{_part(_KEY_ID, key_id, 'key id')}.json"


def api_key_revocation(key_id: str) -> str:
    """Key of the record that revokes an API key."""
    return f"keys/{_part(_KEY_ID, key_id, 'key id')}.revoked.json"


def epoch(number: int) -> str:
    """Key of a leader's claim on an epoch, the fencing token."""
    return f"epochs/{_number(number, 12, 'epoch')}.json"


def scale_record(number: int) -> str:
    """Key of one record of the bounds of the engines."""
    return f"scale/{_number(number, 6, 'record number')}.json"


def scratch_final(tenant: str, key: str, level: int) -> str:
    """Key of the final weights of a level that need not be kept."""
    chain = _part(_HEX, key, "lineage key")
    return f"scratch/final/{_tenant(tenant)}/{chain}/L{_number(level, 3, 'level')}.safetensors"


def scratch_checkpoint(tenant: str, key: str, level: int, environment: str) -> str:
    """Key under which a level in training keeps how far it is, for engines of one environment (a SHA-256)."""
    chain = _part(_HEX, key, "lineage key")
    file = f"L{_number(level, 3, 'level')}.{_part(_HEX, environment, 'environment')[:16]}.safetensors"
    return f"scratch/checkpoints/{_tenant(tenant)}/{chain}/{file}"


def self_test(nonce: str, name: str) -> str:
    """Key of an object of the start-up self-test."""
    return f"scratch/selftest/{_part(_NONCE, nonce, 'nonce')}/{_part(_NAME, name, 'name')}"


def search_of(key: str) -> tuple[str, str] | None:
    """Read tenant and search id out of an object key below `searches/`."""
    match = _SEARCH_FOLDER.fullmatch(key)
    return (match[1], match[2]) if match else None


def level_of(key: str) -> int | None:
    """Read the level out of a manifest's key."""
    match = re.fullmatch(r"lineages/[^/]+/[0-9a-f]{64}/L(\d{3})\.json", key)
    return int(match[1]) if match else None


def number_of(key: str) -> int | None:
    """Read the number out of the key of a log record or an epoch."""
    match = re.search(r"/(\d{6}|\d{12})\.json$", key)
    return int(match[1]) if match else None
