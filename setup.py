"""The one part of the build that pyproject.toml cannot say: the native kernels, optional, and their compiler flags."""

import hashlib
from pathlib import Path

from setuptools import Extension, setup

SOURCE = Path("lth_core/native/source")


def sources_sha256() -> str:
    """Return what `lth_core.native.compiled.sources_sha256` returns for these sources."""
    digest = hashlib.sha256()
    for path in sorted(SOURCE.glob("*.[ch]")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


setup(
    ext_modules=[
        Extension(
            "lth_core.native._kernels",
            sources=[str(path) for path in sorted(SOURCE.glob("*.c"))],
            depends=[str(path) for path in sorted(SOURCE.glob("*.h"))] + ["setup.py"],
            define_macros=[("Py_LIMITED_API", "0x030B0000"), ("LTH_SOURCES", f'"{sources_sha256()}"')],
            extra_compile_args=[
                "-O3",
                "-std=gnu11",
                "-ffp-contract=off",
                "-fno-math-errno",
                "-fno-trapping-math",
                "-fvisibility=hidden",
                "-g0",
                "-Wno-psabi",
            ],
            py_limited_api=True,
            optional=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
