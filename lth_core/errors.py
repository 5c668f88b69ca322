"""What can go wrong while a level is computed; everything else is a programmer's mistake."""

from __future__ import annotations


class UserError(ValueError):
    """The request cannot be computed as it stands; trying again cannot help."""


class NonFiniteError(ArithmeticError):
    """The loss is no longer a finite number.

    Attributes:
        step: Optimizer steps done when it was noticed.
    """

    def __init__(self, step: int, what: str = "loss") -> None:
        super().__init__(f"{what} is not finite at step {step}")
        self.step = step
        self.what = what

    def __reduce__(self) -> tuple[type[NonFiniteError], tuple[int, str]]:
        return type(self), (self.step, self.what)


class LevelCancelled(Exception):  # noqa: N818 - a decision of the caller, not an error
    """The caller asked to stop before the level was finished.

    Attributes:
        step: Optimizer steps done when it stopped.
    """

    def __init__(self, step: int) -> None:
        super().__init__(f"cancelled at step {step}")
        self.step = step

    def __reduce__(self) -> tuple[type[LevelCancelled], tuple[int]]:
        return type(self), (self.step,)
