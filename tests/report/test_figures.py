"""Figures: the points they are made of, and what is in them."""

import io
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from PIL import Image
from stored import curves, examples, flagged, grid, planted

from robench.grid.records import Curve, Labels
from robench.report.figures import eps_curve, pretraining, style, trade_off, transfer
from robench.report.figures import examples as example_images
from robench.report.figures.examples import magnification
from robench.report.figures.points import MOST, SHOWN, Attack, points, shown_attack
from robench.report.results import Order, frame

AUTOATTACK = Attack("autoattack", "linf", "8/255")
KINDS = [trade_off, eps_curve, transfer]


def drawn(kind, *shown):
    """The figure with its layout settled; nothing in it sticks out."""
    with style.paper():
        figure = kind.draw(*shown)
        figure = figure[0] if isinstance(figure, list) else figure
        figure.savefig(io.BytesIO(), format="png", dpi=100)
        width, height = figure.get_size_inches()
        ink = figure.get_tightbbox()
        assert min(ink.x0, ink.y0) > -0.02
        assert ink.x1 < width + 0.02
        assert ink.y1 < height + 0.02
    return figure


def words(figure):
    texts = figure.findobj(lambda artist: hasattr(artist, "get_text"))
    return {text.get_text().replace("\n", " ") for text in texts}


def said(kind, results):
    return " ".join(words(drawn(kind, points(frame(results)))))


def clean(correct, **names):
    return planted(correct, attack="clean", **names)


@cache
def small():
    return grid(n=50)


def test_points_of_several_seeds_have_their_spread_and_keep_the_largest_n():
    shares = ((0, 0.4, 100), (1, 0.615, 200), (0, 0.45, 200))
    averaged = points(frame([clean(share, n=n, seed=seed) for seed, share, n in shares]))
    assert averaged["accuracy"].tolist() == [53.25]
    assert averaged["sd"].item() == pytest.approx(16.5 / np.sqrt(2))
    assert averaged["low"].item() == pytest.approx(53.25 - 16.5 / np.sqrt(2))
    assert averaged["high"].item() == pytest.approx(53.25 + 16.5 / np.sqrt(2))
    (one,) = points(frame([clean(0.5)])).to_dict("records")
    assert (round(one["low"], 1), round(one["high"], 1)) == (40.4, 59.6)  # Wilson's


@pytest.mark.parametrize("kind", KINDS)
def test_figures_say_what_their_bars_are_and_how_many_seeds_and_images(kind):
    one, several = small(), grid(n=50, seeds=(0, 1, 2))
    assert "standard deviation over 3 seeds, 50 test images" in said(kind, several)
    assert ("bars: 95% interval, 50 test images" in said(kind, one)) == (kind is not transfer)
    assert "95% interval" not in said(kind, several)
    mixed = [*several, *grid(n=50, methods=("other",))]
    both = "bars: 95% interval, or standard deviation over 3 seeds"
    assert (both in said(kind, mixed)) == (kind is not transfer)


def test_a_flag_on_one_seed_is_on_the_point():
    found = [clean(0.4), flagged(clean(0.5, seed=1), "gap"), clean(0.4, method="rocl")]
    by_series = points(frame(found)).set_index("series")["flagged"].to_dict()
    assert by_series == {"plain": True, "rocl": False}


def test_series_name_what_differs():
    both = points(frame([clean(0.5), clean(0.5, encoder="resnet18")]))
    assert set(both["series"]) == {"plain, resnet8", "plain, resnet18"}


def attacked(share, attack, eps, method):
    return planted(share, method, attack, norm="linf", eps=eps)


def test_figures_of_one_attack_show_it_where_methods_differ_and_say_so():
    def shown(shares):
        return shown_attack(
            points(
                frame(
                    attacked(share, attack, eps, method)
                    for (attack, eps), both in shares.items()
                    for method, share in zip("ab", both, strict=False)
                )
            )
        )

    shares = {
        ("strong", "4/255"): (0.1, 0.3),
        ("weak", "4/255"): (0.2, 0.9),
        ("strong", "8/255"): (0.0, 0.02),
        ("rare", "4/255"): (0.0,),
        ("control", "1"): (0.0, 0.0),
    }
    assert shown(shares) == ("strong", "linf", "4/255")
    one = {attack: both[:1] for attack, both in shares.items() if attack[0] != "rare"}
    assert shown(one) == ("strong", "linf", "4/255")  # nothing differs: the smallest radius
    assert shown_attack(points(frame([clean(0.5)]))) is None
    for kind in (trade_off, transfer):
        assert SHOWN in said(kind, small())
    assert SHOWN in " ".join(words(drawn(example_images, [examples()], AUTOATTACK)))


def test_legends_colours_and_panels_are_in_the_order_asked():
    order = Order(
        Labels(method, source, target, "", "", "autoattack")
        for source, target in (("cifar100", "cifar10"), ("cifar10", "cifar100"))
        for method in ("rocl", "plain", "clae")
    )
    shown = points(frame(small(), order), order)
    looks = style.looks(shown["series"])
    assert list(looks) == ["rocl", "plain", "clae"]
    assert looks["rocl"].colour == style.COLOURS[0]
    figure = drawn(eps_curve, shown)
    assert [axis.get_title() for axis in figure.axes] == ["CIFAR-100", "CIFAR-10"]
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    methods = ["RoCL", "SimCLR", "CLAE"]
    assert [entry for entry in entries if entry in methods] == methods
    assert entries.index("AutoAttack") < entries.index("PGD-20")
    clean_axis, attacked_axis, _ = drawn(transfer, shown).axes
    assert [label.get_text() for label in clean_axis.get_yticklabels()] == methods
    across = [label.get_text().replace("\n", " ") for label in attacked_axis.get_xticklabels()]
    sources, targets = ("CIFAR-100", "CIFAR-10"), ("CIFAR-10", "CIFAR-100")
    assert across == [f"{source} → {target}" for source in sources for target in targets]
    losses = drawn(pretraining, curves(("clae",)), ["rocl", "plain", "clae"])
    assert losses.axes[0].lines[0].get_color() == looks["clae"].colour


@pytest.mark.parametrize("kind", KINDS)
def test_figures_of_accuracies_name_every_method(kind):
    methods = (r"$\frac{$ mine", "clae", "_other(steps=10)")
    text = said(kind, grid(methods=methods, n=50, suspect="clae"))
    assert all(name in text for name in (methods[0], "CLAE", methods[2]))
    assert "flagged" in text


@pytest.mark.parametrize("kind", KINDS)
def test_a_flag_on_every_number_is_said_once_and_crosses_nothing_out(kind):
    text = said(kind, [flagged(result, "budget", "subset") for result in small()])
    assert "all flagged: budget" in text
    assert "subset" not in text
    assert "× flagged" not in text
    assert "* flagged" not in text


def test_a_flag_of_the_clean_number_crosses_out_the_trade_off():
    assert "flagged" not in said(
        trade_off, [flagged(r, "subset") for r in small()[:4]] + small()[4:]
    )
    odd = [flagged(r, "random") if r.labels.attack == "clean" else r for r in small()]
    assert ", × flagged" in said(trade_off, odd)


def test_the_trade_off_has_clean_accuracy_across_and_robust_accuracy_up():
    figure = drawn(trade_off, points(frame([clean(0.8), attacked(0.3, "pgd", "8/255", "plain")])))
    (axis,) = figure.axes
    marks = [line.get_xydata().tolist() for line in axis.lines if line.get_marker() == "o"]
    assert marks == [[[80.0, 30.0]]]
    assert figure.get_supxlabel() == "clean accuracy (%)"


def test_figures_without_data_are_left_out():
    only_clean = points(frame([clean(0.5)]))
    assert [kind.draw(only_clean) for kind in KINDS] == [None] * 3
    assert pretraining.draw([]) is None
    assert pretraining.draw([Curve("plain", "shapes10", "resnet8", 0, ())]) is None
    assert example_images.draw([], AUTOATTACK) == []
    no_clean = [planted(0.5, attack="pgd", norm="l2", eps="1"), planted(0.5, attack="spatial")]
    assert trade_off.draw(points(frame(no_clean))) is None
    assert eps_curve.draw(points(frame(no_clean))) is not None
    without_eps = points(frame([clean(0.5), planted(0.3, attack="spatial")]))
    assert (eps_curve.draw(without_eps), trade_off.draw(without_eps) is None) == (None, False)
    tried = {0.0, 2.0, 4.0, 8.0}  # a line would cross 2, where something else was tried
    assert eps_curve.runs([0.0, 4.0, 8.0], tried) == [[0.0], [4.0, 8.0]]


def test_a_control_leaves_the_curves_their_room():
    results = [clean(0.8), *(attacked(0.3, "pgd", eps, "plain") for eps in ("8/255", "1"))]
    (axis,) = drawn(eps_curve, points(frame(results))).axes
    assert [label.get_text() for label in axis.get_xticklabels()] == ["0", "8"]
    assert axis.figure.get_supxlabel() == "ε (L∞, in 1/255)"


def test_the_legend_of_a_trade_off_counts_the_seeds_of_both_accuracies():
    several = [clean(0.8, seed=seed) for seed in (0, 1)]
    text = said(trade_off, [*several, attacked(0.3, "pgd", "8/255", "plain")])
    assert "bars: 95% interval, or standard deviation over 2 seeds" in text


def test_transfer_has_methods_down_transfers_across_and_a_dash_where_nothing_is():
    shares = {("one", "a", "a"): 0.9, ("one", "a", "b"): 0.4, ("two", "a", "b"): 0.6}
    results = [clean(share, method=m, source=s, target=t) for (m, s, t), share in shares.items()]
    figure = drawn(transfer, points(frame(results)))
    axis, bar = figure.axes
    rows, columns = (
        [label.get_text().replace("\n", " ") for label in labels]
        for labels in (axis.get_yticklabels(), axis.get_xticklabels())
    )
    shown = {
        (rows[int(text.get_position()[1])], columns[int(text.get_position()[0])]): text.get_text()
        for text in axis.texts
    }
    assert shown == {
        ("one", "a → a"): "90.0",
        ("one", "a → b"): "40.0",
        ("two", "a → a"): "–",
        ("two", "a → b"): "60.0",
    }
    assert bar.get_ylabel() == "accuracy (%)"
    assert figure.get_supxlabel().startswith("pretrained on")
    axes = transfer.draw(points(frame(small()))).axes
    assert len({(image.norm.vmin, image.norm.vmax) for axis in axes for image in axis.images}) == 1


def test_pretraining_has_a_panel_per_method():
    figure = drawn(pretraining, curves(("rocl", "plain"), seeds=(0, 1)))
    panels = [(axis.get_title(), len(axis.lines)) for axis in figure.axes]
    assert panels == [("RoCL", 2), ("SimCLR", 2)]


def test_pretrainings_of_several_seeds_are_their_mean_and_a_band():
    losses = ((4.0, 2.0, 1.0), (2.0, 2.0))
    seeds = [Curve("rocl", "cifar10", "resnet8", seed, own) for seed, own in enumerate(losses)]
    figure = drawn(pretraining, seeds)
    (axis,) = figure.axes
    assert axis.lines[0].get_xydata().tolist() == [[1, 3.0], [2, 2.0], [3, 1.0]]
    corners = axis.collections[0].get_paths()[0].vertices
    assert {round(y, 3) for x, y in corners if x == 1} == {1.586, 4.414}  # 3 and root 2 either way
    assert "bands: standard deviation over 2 seeds" in words(figure)


def test_of_hundreds_of_methods_figures_show_the_first_and_say_so():
    methods = tuple(f"m{place}" for place in range(100))
    many = [Curve(one, "cifar10", "resnet8", 0, (2.0, 1.0)) for one in methods]
    figure = drawn(pretraining, many, methods)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == [f"{one}, CIFAR-10" for one in methods[:MOST]]
    assert f"the first {MOST} of 100 methods" in words(figure)
    results = [clean(0.5, n=20, method=one, target=to) for one in methods for to in ("a", "b")]
    results += [
        planted(0.2, one, "pgd", source="b", target="b", norm="linf", eps="8/255", n=20)
        for one in methods
    ]
    results += [clean(0.5, n=20, method=one, source="b", target="b") for one in methods]
    order = Order(one.labels for one in results)
    shown = points(frame(results, order), order)
    assert list(shown["series"].unique()) == list(methods[:MOST])
    for kind in KINDS:
        assert f"the first {MOST} of 100 methods" in " ".join(words(drawn(kind, shown)))
    pages = example_images.draw([examples(one, m=1) for one in methods], AUTOATTACK)
    assert len(pages) == MOST / example_images.BLOCKS


# --- example images


def test_clean_and_attacked_predictions_stand_above_their_images():
    one = examples(m=2)
    outcome = replace(one.outcome, clean_prediction=np.array([1, 2]), prediction=np.array([8, 8]))
    axes = drawn(example_images, [replace(one, outcome=outcome)], AUTOATTACK).axes
    shown = {
        axis.get_ylabel(): [each.get_title() for each in axes[place : place + 2]]
        for place, axis in enumerate(axes)
        if axis.get_ylabel()
    }
    assert shown["clean"] == ["✓ automobile", "✓ bird"]
    assert shown["AutoAttack"] == ["✗ ship", "✗ ship"]
    assert "AutoAttack, ε = 8/255 (L∞)" in axes[0].figure.get_supxlabel()
    assert [axis.get_xlabel() for axis in axes[8:10]] == ["true:\nautomobile", "true:\nbird"]
    fooled = replace(outcome, clean_prediction=np.array([7, 2]), prediction=np.array([8, 8]))
    axes = drawn(example_images, [replace(one, outcome=fooled)], AUTOATTACK).axes
    assert [axis.get_title() for axis in axes[:2]] == ["✓ bird", ""]  # the other was never right
    assert len(example_images.draw([examples(f"method{i}") for i in range(4)], AUTOATTACK)) == 2


def test_examples_show_one_attack_in_domain_and_one_seed():
    def titles(*shown):
        pages = example_images.draw(shown, AUTOATTACK)
        return [sorted(word for word in words(page) if word.startswith("RoCL, ")) for page in pages]

    one = examples()
    more = [
        examples(seed=1),
        replace(one, labels=replace(one.labels, attack="pgd")),
        examples(target="cifar100"),
        examples(eps="4/255"),
        examples(source="shapes10", target="shapes10"),
    ]
    assert titles(one, *more) == [["RoCL, CIFAR-10"], ["RoCL, Shapes-10"]]
    assert titles(examples(target="cifar100")) == [["RoCL, CIFAR-10 → CIFAR-100"]]
    assert example_images.draw([one], None) == example_images.draw([planted(0.5)], AUTOATTACK) == []


@pytest.mark.parametrize(("largest", "factor"), [(8 / 255, 16.0), (0.5, 1.0), (0.0, 1.0)])
def test_the_largest_change_fills_half_the_pixel_range(largest, factor):
    assert magnification(np.float32([0.0, -largest])) == factor


def test_files_are_as_wide_as_a_column_and_carry_no_date():
    with style.paper():
        files = style.files(pretraining.draw(curves()))
    with Image.open(io.BytesIO(files["png"])) as image:
        assert image.width == 990  # 3.3 inches at 300 dpi
        assert set(image.info) <= {"dpi"}
    assert b"CreationDate" not in files["pdf"]
    assert b"/Type3" not in files["pdf"]
