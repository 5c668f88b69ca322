"""`lth`: the command line of the lottery ticket search service."""

from __future__ import annotations

import sys

import typer

from service.cli import admin, analyses, cluster, data, demo, doctor, local, presets, searches, submit, tickets

app = typer.Typer(
    name="lth",
    help="Search lottery tickets: submit a search, watch it, take the winning tickets home.",
    epilog="Exit codes: 0 done, 1 unreachable or faulty, 2 refused, 3 failed, 4 cancelled, 5 partial, 6 auth, "
    "7 not found, 8 quota, 9 not verified, 124 timed out, 130 detached.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
local.register(app)
demo.register(app)
submit.register(app)
searches.register(app)
analyses.register(app)
app.add_typer(tickets.app, name="tickets")
app.add_typer(data.app, name="data")
app.add_typer(presets.app, name="preset")
app.add_typer(cluster.app, name="cluster")
app.add_typer(admin.keys_app, name="keys")
app.add_typer(admin.admin_app, name="admin")
doctor.register(app)


def main() -> None:
    """Entry point."""
    app()


if __name__ == "__main__":
    sys.exit(app())
