"""Published values are data with sources, and none that is unchecked is shown without a mark."""

from collections import Counter

import pytest
from commands import robench

from robench.grid.spec import SpecError
from robench.report.published import MEANINGS, listing, read, values

HEAD = (
    "paper,table,source,target,encoder,method,protocol,attack,norm,eps,value,confidence,source_text"
)


def line(**changes: str) -> str:
    """One value as CSV, with its head."""
    fields = dict.fromkeys(HEAD.split(","), "x")
    fields |= {"norm": "linf", "eps": "8/255", "value": "40.10", "confidence": "exact"}
    return f"{HEAD}\n{','.join({**fields, **changes}.values())}\n"


def test_a_value_is_shown_as_printed_with_the_mark_of_its_confidence() -> None:
    (value,) = read(line())
    assert (str(value), value.mark, value.verified) == ("40.10", "", True)
    confidences = Counter(value.confidence for value in values())
    assert confidences == {"exact": 17, "secondary": 591, "unverified": 55}
    assert len(set(values())) == len(values())
    for value in values():
        assert str(value).endswith("?") == (value.confidence == "unverified")
        assert value.verified != str(value).endswith("?")
        assert str(value).rstrip("?‡") == str(value.value)


@pytest.mark.parametrize(
    "changes",
    [{"confidence": "sure"}, {"value": "100.5"}, {"norm": "l7"}, {"eps": "8/256"}, {"method": ""}],
)
def test_other_values_are_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        read(line(**changes))
    with pytest.raises(ValueError, match="source_text"):
        read(line().rsplit(",", 1)[0])


def test_words_choose_and_marks_are_explained() -> None:
    done = robench("ls", "published", "ROCL2020", "simclr")
    *found, note, count = done.out.splitlines()
    assert (done.code, done.err, len(found)) == (0, "", 7)
    assert all("SimCLR, LE, cifar10 -> cifar10" in line and "?" in line for line in found)
    assert note == f"? {MEANINGS['?']}"
    assert count.startswith("7 of 663 values")
    for value, text in zip(values(), listing(values(), ())[:663], strict=True):
        assert text.split()[0] == str(value)
        assert f"[{value.confidence}]" in text
        assert text.endswith(value.source_text)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rokl"], "no published value has rokl; did you mean rocl2020"),
        (["taro", "deacl"], "no published value has taro and deacl"),
    ],
)
def test_words_of_no_value_are_refused_with_a_way_out(words: list[str], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        listing(values(), words)
