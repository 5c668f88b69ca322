"""Every setting of the service, read from the environment (`LTH_...`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from lth_core.engines.choice import SLOTS_OF

Count = Annotated[int, Field(ge=0)]
Duration = Annotated[float, Field(gt=0)]


class Settings(BaseSettings):
    """How one process of the service is configured; every field is the variable `LTH_` + its name in capitals.

    The defaults are the embedded service of one machine. Texts that are empty take a place under `home`.
    """

    model_config = SettingsConfigDict(env_prefix="LTH_", frozen=True, extra="ignore")

    home: Path = Path("~/.lth")
    """Folder of everything the embedded service keeps."""
    redis_url: str = ""
    """`redis://`, `rediss://` or `unix://`; empty: `HOME/run/valkey.sock`."""
    store_url: str = ""
    """`file:///folder`, `s3://bucket/prefix`, `gs://`, `az://` or `memory://`; empty: `HOME/objects`."""
    listen: str = "127.0.0.1:8420"
    """Address of the public API."""
    admin_listen: str = ""
    """Unix path or loopback address of the admin API; empty: `HOME/run/admin.sock`."""
    metrics_listen: str = ""
    """Address of `/metrics`; empty: none."""
    pepper_file: Path = Path()
    """Secret with which API keys are hashed, made at first use; empty: `HOME/pepper`."""
    run: str = ""
    """Tag of all processes that were started together."""
    node_name: str = ""
    """What the machine is called on which a level trains; empty: its host name."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    ray_address: str = ""
    """Ray cluster to join; empty: the dispatcher starts a local one."""
    cluster_cpus: Annotated[float, Field(ge=0)] = 0.0
    """CPUs that the Ray cluster may grow to: engines are asked for up to them; 0: those that it has."""
    cluster_gpus: Annotated[float, Field(ge=0)] = 0.0
    """GPUs that it may grow to."""
    max_drivers: Annotated[int, Field(ge=1)] = 2
    """Searches that run at once."""
    num_cpus: Annotated[int, Field(ge=1)] | None = None
    """CPUs given to the local Ray; default: all."""
    num_gpus: Count = 0
    """GPUs given to the local Ray."""
    auto_device: Literal["cpu", "cuda"] | None = None
    """What `resources.device: auto` means at acceptance; default: cuda where `num_gpus` > 0."""
    engine_slots: Annotated[int, Field(ge=1, le=512)] | None = None
    """Levels that one engine trains at once; default: 128 on a GPU, 1 on a CPU."""
    engine_idle_s: Duration = 60.0
    """After how long an unused engine goes."""
    engine_stuck_s: Duration = 60.0
    """After how long without progress a busy engine is killed, unless ten of its median steps are longer."""
    checkpoint_every_s: Duration = 20.0
    """How long a level trains between two checkpoints, from which another engine goes on if its own dies."""

    quota_lineages: Annotated[int, Field(ge=1)] = 256
    """Lineages per search."""
    quota_running_lineages: Annotated[int, Field(ge=1)] = 64
    """Lineages of one tenant that run at once."""
    quota_live_searches: Annotated[int, Field(ge=1)] = 100
    """Searches of one tenant that have not ended."""
    quota_gpu_seconds: Annotated[float, Field(gt=0)] | None = None
    """GPU-seconds per tenant and month; default: no limit."""
    quota_body_bytes: Annotated[int, Field(ge=1024)] = 65_536
    """Size of a JSON body."""
    quota_upload_bytes: Annotated[int, Field(ge=1024)] = 1_073_741_824
    """Size of an uploaded ticket, and of the weights it unpacks to."""
    quota_streams: Annotated[int, Field(ge=1)] = 10
    """Event streams per API key."""
    rate_posts: Annotated[int, Field(ge=1)] = 60
    """POSTs per minute and key."""
    rate_gets: Annotated[int, Field(ge=1)] = 600
    """GETs per minute and key."""
    rate_bad_keys: Annotated[int, Field(ge=1)] = 20
    """Wrong keys per minute and address."""

    @model_validator(mode="before")
    @classmethod
    def _places_under_home(cls, raw: dict[str, object]) -> dict[str, object]:
        home = Path(str(raw.get("home") or "~/.lth")).expanduser().absolute()
        places: dict[str, object] = {
            "redis_url": f"unix://{home}/run/valkey.sock",
            "store_url": f"file://{home}/objects",
            "admin_listen": f"{home}/run/admin.sock",
            "pepper_file": home / "pepper",
        }
        given = {name: value for name, value in raw.items() if value not in ("", None)}
        return places | given | {"home": home}

    @model_validator(mode="after")
    def _auto_device_exists(self) -> Self:
        if self.auto_device == "cuda" and not self.num_gpus and not self.ray_address:
            raise ValueError("auto_device cuda needs num_gpus > 0 or a ray_address")
        return self

    def slots_of(self, device: str) -> int:
        """Levels that an engine of a device class trains at once."""
        return self.engine_slots or SLOTS_OF[device]

    @property
    def device_class(self) -> Literal["cpu", "cuda"]:
        """The device class that `auto` stands for."""
        return self.auto_device or ("cuda" if self.num_gpus else "cpu")
