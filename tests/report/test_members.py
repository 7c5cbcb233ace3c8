"""What each attack of AutoAttack took, counted from planted outcomes."""

import pytest
from stored import flagged, planted

from robench.report.members import members


def taken(*by, method="plain", **names):
    """A result of ten images, fooled by these; what is left is right."""
    attack = names.pop("attack", "autoattack")
    right = [one in (-1, None) for one in by]
    clean = [one is not None for one in by]
    result = planted(right, method, attack, clean=clean, norm="linf", eps="8/255", **names)
    result.outcome.fooled_by[:] = [-1 if one is None else one for one in by]
    return result


def test_shares_are_of_the_images_that_are_right_clean_over_all_encoders():
    a = taken(0, 0, 1, -1, None)  # the last is wrong from the start
    b = taken(0, 3, 2, -1, -1, method="rocl")
    table = members([a, b, flagged(taken(3, 3, 3, 3, 3, method="clae"), "masked")])
    (row,) = table.rows
    assert row.names == ("linf", "8/255", "2", "9")
    assert [one.value for one in row.entries] == pytest.approx(
        [100 * count / 9 for count in (3, 1, 1, 1, 3)]
    )


def test_without_autoattack_there_is_no_table():
    with pytest.raises(ValueError, match="no results of autoattack"):
        members([planted(0.5), taken(0, attack="autoattack(sample=3)")])
