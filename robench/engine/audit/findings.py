"""What a check comes to."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """Nothing found; something that makes numbers doubtful; something that leaves none."""

    OK = "ok"
    FLAG = "FLAG"
    ERROR = "ERROR"


@dataclass(frozen=True)
class Finding:
    """One check's line, with the numbers that it rests on."""

    check: str
    verdict: Verdict
    evidence: str

    def __str__(self) -> str:
        return f"{self.verdict.value:5}  {self.check:13}  {self.evidence}"


def flag_if(wrong: bool) -> Verdict:
    """FLAG where something is wrong, ok where not."""
    return Verdict.FLAG if wrong else Verdict.OK


def summary(findings: Sequence[Finding]) -> str:
    """All findings in one line."""
    found = [finding for finding in findings if finding.verdict is not Verdict.OK]
    if not found:
        return f"verdict: nothing found in {len(findings)} checks"
    names = ", ".join(finding.check for finding in found)
    return f"verdict: {len(found)} of {len(findings)} checks found something: {names}"
