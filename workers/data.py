"""Commands that decode a data set once and register it in the store: `python -m workers.data add NAME` and `ls`."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from lth_core.errors import UserError
from service.settings import Settings
from service.store.errors import RecordError
from service.store.record import Record
from workers.decoded import Decoded
from workers.decoders import BUILT_IN, decode_built_in
from workers.image_folder import decode_image_folder
from workers.npz_arrays import decode_npz
from workers.registration import register

EXIT_UNREACHABLE = 1
EXIT_USAGE = 2

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

OnProgress = Callable[[int, int], None]


def decode(
    name: str,
    *,
    root: Path | None,
    download: bool,
    source: Path | None,
    default_root: Path,
    on_progress: OnProgress | None = None,
) -> Decoded:
    """Decode the data set that the command line asks for.

    Args:
        name: A built-in name, or the user's own with `source`.
        root: Folder in torchvision's layout, for built-in sets but digits.
        download: Fetch what `root` lacks.
        source: Image folder, tar archive of one, or npz file.
        default_root: Root where none is given.
        on_progress: Called with the images decoded so far and their number.

    Raises:
        UserError: If the choices do not fit together or the files are not what they should be.
    """
    if not NAME.fullmatch(name):
        raise UserError(f"name: must match {NAME.pattern}, not {name!r}")
    if source is None:
        return _decode_built_in(name, root, download, default_root)
    if name in BUILT_IN:
        raise UserError(f"name: {name!r} is built in and takes no --from; choose a name of your own")
    if root is not None or download:
        raise UserError("root, download: belong to built-in data sets and do not go with --from")
    if source.suffix.lower() == ".npz":
        return decode_npz(name, source)
    return decode_image_folder(name, source, on_progress)


def _decode_built_in(name: str, root: Path | None, download: bool, default_root: Path) -> Decoded:
    if name not in BUILT_IN:
        known = ", ".join(BUILT_IN)
        raise UserError(f"name: {name!r} is not built in ({known}); name its folder or npz with --from PATH")
    if BUILT_IN[name].loader is None and (root is not None or download):
        raise UserError(f"root, download: {name} comes with scikit-learn and takes neither")
    return decode_built_in(name, root=root or default_root, download=download)


async def add(settings: Settings, decoded: Decoded) -> dict[str, Any]:
    """Register a decoded data set and return its document, with `created` false where it stood already."""
    record = await Record.open(settings)
    try:
        return await register(record, decoded)
    finally:
        await record.close()


async def ls(settings: Settings) -> list[dict[str, Any]]:
    """Return the documents of all registered data sets, the current one of each name."""
    record = await Record.open(settings)
    try:
        return list(await record.datasets())
    finally:
        await record.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 store unreachable, 2 refused."""
    options = _parser().parse_args(arguments)
    errors = Console(stderr=True, soft_wrap=True)
    try:
        if options.command == "ls":
            _show_list(asyncio.run(ls(Settings())), as_json=options.json)
        else:
            _show_added(_add(options, errors), as_json=options.json)
    except UserError as error:
        errors.print(str(error), style="red", markup=False, highlight=False)
        return EXIT_USAGE
    except (RecordError, OSError) as error:
        errors.print(f"store: {error}", style="red", markup=False, highlight=False)
        return EXIT_UNREACHABLE
    return 0


def _add(options: argparse.Namespace, errors: Console) -> dict[str, Any]:
    settings = Settings()
    with _progress(errors, options.name) as on_progress:
        decoded = decode(
            options.name,
            root=options.root,
            download=options.download,
            source=options.source,
            default_root=settings.home / "data",
            on_progress=on_progress,
        )
    return asyncio.run(add(settings, decoded))


@contextmanager
def _progress(console: Console, name: str) -> Iterator[OnProgress | None]:
    """Show a bar on a terminal, and nothing in a log."""
    if not console.is_terminal:
        yield None
        return
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(f"decoding {name}", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _show_added(document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(document) + "\n")
        return
    verb = "registered" if document["created"] else "was registered already, nothing changed"
    sizes = f"{document['num_train']} + {document['num_test']} examples of shape {tuple(document['shape'])}"
    Console(soft_wrap=True, highlight=False).print(
        f"{document['name']} {verb}: {sizes}, {document['num_classes']} classes, sha256 {document['digest']}"
    )


def _show_list(documents: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(documents) + "\n")
        return
    table = Table("name", "shape", "classes", "train", "test", "sha256")
    for document in documents:
        numbers = (document[key] for key in ("num_classes", "num_train", "num_test"))
        shape = " x ".join(map(str, document["shape"]))
        table.add_row(document["name"], shape, *map(str, numbers), document["digest"][:12])
    Console().print(table)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workers.data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    adding = commands.add_parser("add", help="decode a data set and register it")
    adding.add_argument("name", help=f"{', '.join(BUILT_IN)}, or a name of your own with --from")
    adding.add_argument("--root", type=Path, help="folder in torchvision's layout (default: LTH_HOME/data)")
    adding.add_argument("--download", action="store_true", help="fetch what the root folder lacks")
    adding.add_argument(
        "--from", dest="source", metavar="PATH", type=Path, help="image folder, tar archive of one, or npz file"
    )
    listing = commands.add_parser("ls", help="list the registered data sets")
    for command in (adding, listing):
        command.add_argument("--json", action="store_true", help="one JSON document on standard output")
    return parser


if __name__ == "__main__":
    sys.exit(main())
