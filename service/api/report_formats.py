"""Forms of a report and of its figures: media types, names of files, and the policy under which browsers show them."""

from __future__ import annotations

MEDIA_TYPES = {
    "json": "application/json",
    "html": "text/html",
    "markdown": "text/markdown",
    "csv": "text/csv",
    "bibtex": "application/x-bibtex",
}
"""Media type of every form of a report, the default first; texts are in UTF-8."""

EXTENSIONS = {"json": "json", "html": "html", "markdown": "md", "csv": "csv", "bibtex": "bib"}

FIGURE_TYPES = {"svg": "image/svg+xml", "png": "image/png"}

SEALED = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox"
)
"""What a report may do in a browser: show itself. No script, no request elsewhere, no rights of this origin."""
