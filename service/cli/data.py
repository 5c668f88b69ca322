"""`lth data`: register data sets in the store, and list them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli import children
from service.cli.exits import UsageError
from service.cli.session import Session, command
from service.cli.tables import new_table

app = typer.Typer(help="Register data sets and list them.", no_args_is_help=True)


def add(
    session: Session,
    name: Annotated[str, typer.Argument(help="mnist, fashion_mnist, kmnist, cifar10, cifar100, or a name of yours.")],
    root: Annotated[Path | None, typer.Option(help="Folder in torchvision's layout.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch it, with checksum.")] = False,
    source: Annotated[Path | None, typer.Option("--from", help="Your image folder or npz file.")] = None,
) -> int:
    """Decode a data set once and keep it in the store under its digest."""
    if (root is not None) + download + (source is not None) > 1:
        raise UsageError("choose one of --root, --download and --from")
    words = ["add", name]
    words += ["--root", str(root.absolute())] if root else []
    words += ["--from", str(source.absolute())] if source else []
    words += ["--download"] if download else []
    return children.run(session, "workers.data", words)


def ls(session: Session) -> None:
    """List the registered data sets."""
    with session.client() as client:
        found = client.get("/v1/datasets")["data"]
    if session.as_json:
        session.emit(found)
        return
    numbers = ("classes", "train", "test")
    table = new_table("name", "shape", *numbers, "digest", right=numbers)
    for item in found:
        shape = "×".join(str(size) for size in item.get("shape", []))
        digest = str(item["digest"]).removeprefix("sha256:")
        counts = (f"{item[key]:,}" for key in ("num_classes", "num_train", "num_test"))
        table.add_row(item["name"], shape, *counts, digest[:16])
    session.out.print(table)


command(app, "add")(add)
command(app, "ls")(ls)
