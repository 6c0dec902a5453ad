"""What the simulation found in the product, kept: the mistake is planted again, and the seed must still find it.

May not know how a history goes. It keeps one law: a finding is a sentence that a person understands and a seed that
proves it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake that was in the product once."""

    fault: str
    """The planted fault that brings it back."""
    seed: int
    sentence: str


FINDINGS = (
    Finding(
        "equal revisions for two runs", 11,
        "A run that was frozen before its write and its successor took the same revision, so the org let the late "
        "write pass and a balance went back; a revision is now taken when writing begins.",
    ),
    Finding(
        "read committed", 1688,
        "Somebody changed the store between the reading of the memories and the merge's commit, and the old value won; "
        "absorb now proves that the client is as it was.",
    ),
)  # fmt: skip
