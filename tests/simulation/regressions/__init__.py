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


@dataclass(frozen=True, slots=True)
class Lived:
    """One history that broke a promise once, shortened: it must hold."""

    layer: str
    seed: int
    steps: tuple[int, ...]
    sentence: str


LIVED = (
    Lived(
        "full", 297, (12, 15, 18, 26),
        "An administrator sent an estimate again that time had ended, and it ended again: what a person leaves open is "
        "not decided, so the simulation was wrong to call it lost.",
    ),
    Lived(
        "full", 298, (1, 2, 4, 11, 13),
        "An administrator sent an estimate again of which there was a newer version, and it was superseded again: the "
        "same mistake of the simulation.",
    ),
    Lived(
        "full", 811, (19, 24, 27),
        "A transaction that had logged time on a case ended after the case was deleted, so the entry points to what "
        "lies in the bin; the simulation expected that it points to nothing.",
    ),
    Lived(
        "full", 430, tuple(range(14)),
        "Our clock was put back by an hour, so a run that had not heard the org's clock yet asked about an hour ago; "
        "what the org had to say came an hour late. Such a run now asks once more by the org's clock.",
    ),
    Lived(
        "line", 12458, (4, 5, 6, 8, 9, 10, 11, 14, 22, 25, 26, 28, 31, 32, 33, 34),
        "A page of rows that changed while they were read carried a bookmark that did not move, and was taken for the "
        "page with what had been looked up by id: a write that the org had swallowed was never looked up.",
    ),
)  # fmt: skip

FINDINGS = (
    Finding(
        "equal revisions for two runs", 161,
        "A run that was frozen before its write and its successor took the same revision, so the org let the late "
        "write pass and a balance went back; a revision is now taken when writing begins.",
    ),
    Finding(
        "read committed", 1688,
        "Somebody changed the store between the reading of the memories and the merge's commit, and the old value won; "
        "absorb now proves that the client is as it was.",
    ),
    Finding(
        "one note for each stamp", 4314,
        "A long transaction became visible with a stamp that had been seen before; the second conflict on the field "
        "was taken for the first and not written down; both are noted now.",
    ),
    Finding(
        "the bin speaks for the living", 2114,
        "A late create of a frozen run and the deleted record that it doubled came on one page, and the living one was "
        "set aside; what lies in the bin is no second record now.",
    ),
    Finding(
        "what a write replaced is forgotten", 10,
        "An org confirmed a write and did nothing; what it still showed was taken for a person's edit, and ours was in "
        "no log. What a write replaced is remembered now until a read has shown it.",
    ),
)  # fmt: skip
