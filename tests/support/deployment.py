"""The service in the pieces that Kubernetes runs, each of which can be replaced while the others go on."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import signal
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.local.processes import kill_tagged
from service.settings import Settings
from tests.support.autoscaling import Autoscaling
from tests.support.processes import Server, free_port
from tests.support.ray_nodes import RayNodes
from tests.support.rest import Answer, Rest
from tests.support.valkey import start_valkey, stop_valkey

END_S = 30.0
DATA_S = 90.0
NO_LIMIT = "1000000"


@dataclass(frozen=True)
class Told:
    """How one request ended.

    Attributes:
        method: Of the request.
        path: Of the request.
        status: Of the answer.
        code: Problem code of the answer, if it is a problem.
        took_s: How long the answer took.
    """

    method: str
    path: str
    status: int
    code: str | None
    took_s: float


@dataclass(eq=False)
class Replica:
    """One process of the service with a home of its own, as a pod has."""

    name: str
    server: Server
    url: str = ""
    metrics_url: str = ""

    def end(self) -> None:
        """End it as Kubernetes does: SIGTERM, and patience."""
        self.server.signal(signal.SIGTERM)
        assert self.server.process is not None
        self.server.process.wait(END_S)


class Deployment(Rest):
    """API replicas, dispatchers, a Valkey, a folder of objects, and a Ray cluster of several nodes joined by address.

    Requests go to the API replicas in turn, and on to the next where one cannot be reached, as a load balancer sends
    them.

    Attributes:
        nodes: The Ray cluster.
        apis: API replicas that take requests.
        dispatchers: Those that run, of which one leads.
        told: How every request ended.
        promised: Ids of searches that POSTs were answered, by idempotency key.
        unforeseen: Errors that no rule of the API foresaw, in replicas that have ended.

    Args:
        environ: Settings of all processes, beside those that hold them together.
        dispatcher: Module of the dispatcher.
        autoscaling: Lets Ray's autoscaler start and end the worker nodes.
    """

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        dispatcher: str = "workers.dispatcher",
        autoscaling: Autoscaling | None = None,
    ) -> None:
        self._dispatcher = dispatcher
        self.folder = Path(tempfile.mkdtemp(prefix="lth-"))
        (self.folder / "objects").mkdir()
        self._valkey = start_valkey()
        self._environ = {
            "LTH_REDIS_URL": self._valkey.url,
            "LTH_STORE_URL": f"file://{self.folder}/objects",
            "LTH_PEPPER_FILE": str(self.folder / "pepper"),
            "LTH_RATE_GETS": NO_LIMIT,
            "LTH_RATE_POSTS": NO_LIMIT,
            "LTH_RUN": uuid.uuid4().hex,
            **(environ or {}),
        }
        self._numbers = itertools.count(1)
        self._turns = itertools.count()
        self._lock = threading.Lock()
        self._replicas: list[Replica] = []
        self.apis: list[Replica] = []
        self.dispatchers: list[Replica] = []
        self.told: list[Told] = []
        self.promised: dict[str, list[str]] = {}
        self.unforeseen = 0.0
        self.nodes = RayNodes(self.folder, self._environ, autoscaling)

    @property
    def tag(self) -> str:
        """In the environment of all processes but the index, those of the Ray cluster among them."""
        return f"LTH_RUN={self._environ['LTH_RUN']}"

    @property
    def index_pid(self) -> int:
        """Process id of the index."""
        assert self._valkey.process is not None
        return self._valkey.process.pid

    @property
    def settings(self) -> Settings:
        """Settings of a process that reads the record."""
        return Settings(home=self.folder, redis_url=self._environ["LTH_REDIS_URL"], store_url=f"file://{self.objects}")

    @property
    def epoch(self) -> int:
        """The last leader's."""
        return len(list((self.objects / "epochs").iterdir()))

    @property
    def objects(self) -> Path:
        """The object store's folder."""
        return self.folder / "objects"

    def start_api(self) -> Replica:
        """Start an API replica; requests go to it as soon as it is ready."""
        port, metrics = free_port(), free_port()
        own = {"LTH_LISTEN": f"127.0.0.1:{port}", "LTH_METRICS_LISTEN": f"127.0.0.1:{metrics}"}
        replica = self._replica("api", "service.api.server", own)
        replica.url, replica.metrics_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{metrics}/metrics"
        replica.server.start(lambda: _is_ready(f"{replica.url}/readyz"))
        self.apis = [*self.apis, replica]
        return replica

    def replace_api(self, old: Replica) -> Replica:
        """Start a new API replica, take the old one out, and end it."""
        new = self.start_api()
        self.apis = [replica for replica in self.apis if replica is not old]
        self.unforeseen += unforeseen_at(old)
        old.end()
        return new

    def start_dispatcher(self) -> Replica:
        """Start a dispatcher; it leads, or stands by while another one does."""
        own = {"LTH_RAY_ADDRESS": self.nodes.address, "LTH_AUTO_DEVICE": "cpu", **self.nodes.environ}
        replica = self._replica("dispatcher", self._dispatcher, own)
        replica.server.start(lambda: True)
        self.dispatchers.append(replica)
        return replica

    def end_dispatcher(self, old: Replica) -> None:
        """End a dispatcher and all that it started."""
        self.dispatchers.remove(old)
        old.end()

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, timeout_s: float = 35
    ) -> Answer:
        """Send a request to the next replica, and on to another where one cannot be reached; note how it ended."""
        replicas = self.apis
        turn = next(self._turns)
        for replica in [replicas[(turn + offset) % len(replicas)] for offset in range(len(replicas))]:
            began_s = time.monotonic()
            try:
                answer = _To(replica.url).request(method, path, body, headers, timeout_s)
            except OSError:
                continue
            code = answer.json().get("code") if answer.status >= 400 else None
            with self._lock:
                self.told.append(Told(method, path, answer.status, code, time.monotonic() - began_s))
            return answer
        raise ConnectionError(f"none of {len(replicas)} replicas can be reached")

    def submit(self, body: dict[str, Any], key: str | None = None) -> str:
        """POST a search, twice where it has a key, as a client does that lost the answer; return its id."""
        assert key is not None, "every POST here may be repeated"
        for _ in range(2):
            self.promised.setdefault(key, []).append(super().submit(body, key))
        return self.promised[key][0]

    def wait_for_data(self) -> None:
        """Return when the bundled data set is registered, which the first leader sees to."""
        deadline_s = time.monotonic() + DATA_S
        while self.request("GET", "/v1/datasets/digits").status != 200:
            assert time.monotonic() < deadline_s, self.log_tail()
            time.sleep(0.2)

    def log_tail(self) -> str:
        """The last words of all processes of the service."""
        logs = sorted(self.folder.glob("*/*.log")) + sorted(self.folder.glob("dispatcher*/logs/*.log"))
        return "\n".join(f"--- {log.relative_to(self.folder)}\n{log.read_text()[-1500:]}" for log in logs)

    def close(self) -> None:
        """End everything and remove what was stored."""
        kill_tagged(self.tag, settle_s=0.2)
        self.nodes.close()
        for replica in self._replicas:
            replica.server.stop()
        stop_valkey(self._valkey)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _replica(self, kind: str, module: str, own: dict[str, str]) -> Replica:
        home = self.folder / f"{kind}-{next(self._numbers)}"
        home.mkdir()
        environ = {**self._environ, "HOME": str(home), "LTH_HOME": str(home), **own}
        replica = Replica(home.name, Server([sys.executable, "-m", module], home / f"{kind}.log", environ))
        self._replicas.append(replica)
        return replica


class _To(Rest):
    """Requests to one replica."""

    def __init__(self, url: str) -> None:
        self.url = url


def unforeseen_at(replica: Replica) -> float:
    """Errors that no rule foresaw in one API replica."""
    with urllib.request.urlopen(replica.metrics_url, timeout=5) as answer:  # noqa: S310
        lines = answer.read().decode().splitlines()
    return float(next(line for line in lines if line.startswith("lth_http_unexpected_total")).split()[1])


def _is_ready(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310
        return bool(answer.status == 200)
    return False


@contextlib.contextmanager
def running_deployment(num_nodes: int) -> Iterator[Deployment]:
    """Run the service with one API, one dispatcher and so many nodes of one CPU for the length of a block."""
    deployment = Deployment()
    try:
        deployment.start_api()
        deployment.start_dispatcher()
        deployment.nodes.add(num_nodes)
        deployment.wait_for_data()
        yield deployment
    finally:
        deployment.close()
