"""What can be typed, and that it is read back as it was meant."""

from fractions import Fraction

import pytest

from robench.grid.spec import (
    Spec,
    SpecError,
    exact,
    nearest,
    parse,
    parse_list,
    parse_number,
    show,
    show_number,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("8/255", Fraction(8, 255)),
        (" 8 / 255 ", Fraction(8, 255)),
        ("0.0314", Fraction(157, 5000)),
        ("1e-3", Fraction(1, 1000)),
        (".5", Fraction(1, 2)),
        ("12", Fraction(12)),
        ("-1", Fraction(-1)),
    ],
)
def test_numbers_are_exact(text: str, number: Fraction) -> None:
    assert parse_number(text) == number


@pytest.mark.parametrize(
    "text", ["", "eight", "nan", "inf", "8/", "/255", "8/0", "1/2/3", "1e999999999", "9" * 200, "٨"]
)
def test_what_is_no_number_is_refused_at_once(text: str) -> None:
    with pytest.raises(SpecError, match=r"8/255, 0\.5 or 12"):
        parse_number(text)


@pytest.mark.parametrize("number", ["8/255", "0.5", "12", "1/3", "0.001", "-2"])
def test_a_number_is_written_as_it_is_read(number: str) -> None:
    assert show_number(parse_number(number)) == number


@pytest.mark.parametrize(
    ("number", "meant"),
    [
        (8 / 255, Fraction(8, 255)),
        (0.0314, Fraction(157, 5000)),
        (0.5, Fraction(1, 2)),
        (1e-6, Fraction(1, 10**6)),
        (1 / 3, Fraction(1, 3)),
    ],
)
def test_python_s_numbers_become_the_ones_that_were_meant(number: float, meant: Fraction) -> None:
    assert exact(number) == meant


@pytest.mark.parametrize(
    "text",
    [
        "rocl",
        "linear-sgd",
        "pgd(eps=8/255, norm=linf, restarts=1, step_size=none, steps=20)",
        "npz(path='/data/my set.npz')",
        "x(a=true, b=false, c='true', d=\"it's\", e='a,b(c')",
    ],
)
def test_a_spec_is_written_as_it_is_read(text: str) -> None:
    assert parse(str(parse(text))) == parse(text)


def test_arguments_have_no_order() -> None:
    assert parse("pgd(steps=5,eps=8/255)") == parse("pgd( eps = 8/255 , steps = 5 )")
    assert str(parse("pgd(steps=5,eps=16/510)")) == "pgd(eps=8/255, steps=5)"


def test_a_path_needs_no_quotes() -> None:
    assert parse("npz(path=../data/blood.npz)").get("path") == "../data/blood.npz"
    assert parse("npz(path=/data/x.npz)") == parse("npz(path='/data/x.npz')")


def test_values_have_types() -> None:
    spec = parse("x(a=3, b=0.5, c=true, d=none, e=word)")
    assert [spec.get(name) for name in "abcde"] == [3, Fraction(1, 2), True, None, "word"]
    assert spec.get("missing") is None
    assert not spec.has("missing")


def test_show_keeps_words_and_constants_apart() -> None:
    assert [show("true"), show(True), show(None), show("none")] == [
        "'true'",
        "true",
        "none",
        "'none'",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8pgd",
        "pgd(",
        "pgd)",
        "pgd(steps)",
        "pgd(steps=1",
        "pgd(steps=1))",
        "pgd(steps=1)(x=2)",
        "pgd(steps=1, steps=2)",
        "pgd(steps=)",
        "pgd(norm='linf)",
        "pgd(a-b=1)",
        "pgd(eps={8})",
        "x" * 5000,
    ],
)
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_lists_are_cut_at_the_outer_commas() -> None:
    assert parse_list("rocl(steps=1, eps=4/255),clae,") == (
        Spec("rocl", (("eps", Fraction(4, 255)), ("steps", 1))),
        Spec("clae"),
    )


@pytest.mark.parametrize("text", ["", " , ", "pgd,,8"])
def test_a_list_without_names_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        parse_list(text)


def test_the_nearest_come_first_and_all_are_told() -> None:
    assert nearest("pdg", ["pgd", "autoattack"]) == "did you mean pgd? (all: pgd, autoattack)"
    assert nearest("PGD", ["pgd", "clean"]).startswith("did you mean pgd?")
    assert nearest("zzz", ["pgd", "clean"]) == "choose from pgd, clean"


@pytest.mark.parametrize(
    "value",
    [
        "'a' 'b'",
        "'a'+1",
        "'a\x00'",
        "'a\n'",
        "99e99",
        "12345678901234567890123e-99",
        f"{'1' * 60}.{'3' * 35}",
    ],
)
def test_what_could_not_be_read_back_is_refused(value: str) -> None:
    with pytest.raises(SpecError) as refused:
        parse(f"x(a={value})")
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("value", [r"C:\data", "it's", 'say "x"', "a=b, c(d", "ü"])
def test_a_quoted_text_stands_for_itself(value: str) -> None:
    spec = Spec("x", (("a", value),))
    assert parse(str(spec)) == spec
    quote = '"' if "'" in value else "'"
    assert parse(f"x(a={quote}{value}{quote})") == spec
