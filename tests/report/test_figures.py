"""Figures: what they are made of, when they are drawn, and what is in them."""

import io
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image

from robench.grid.records import Curve
from robench.report.figures import eps_curve, pretraining, style, trade_off, transfer
from robench.report.figures import examples as example_images
from robench.report.figures.examples import magnification
from robench.report.figures.picture import save
from robench.report.figures.points import Asked, points, strongest, telling
from robench.report.results import frame

AUTOATTACK = Asked("autoattack", "linf", "8/255")


def drawn(picture):
    """The figure with its layout settled; nothing in it sticks out."""
    with style.paper():
        figure = picture.draw()
        figure.savefig(io.BytesIO(), format="png", dpi=100)
        width, height = figure.get_size_inches()
        ink = figure.get_tightbbox()
        assert ink.x0 > -0.02
        assert ink.y0 > -0.02
        assert ink.x1 < width + 0.02
        assert ink.y1 < height + 0.02
    return figure


def with_flag(result, flag):
    return replace(result, cell=replace(result.cell, flags=(flag,)))


def words(figure):
    texts = figure.findobj(lambda artist: hasattr(artist, "get_text"))
    return {text.get_text() for text in texts}


def test_points_average_over_seeds_in_percent(result):
    averaged = points(frame([result(0.4, seed=0), result(0.6, seed=1)]))
    assert averaged["accuracy"].tolist() == [50.0]
    assert averaged["low"].item() < 50 < averaged["high"].item()


def test_points_keep_the_largest_n(result):
    averaged = points(frame([result(0.4, n=100), result(0.8, n=10)]))
    assert averaged["accuracy"].tolist() == [40.0]


def test_series_name_what_differs(result):
    both = points(frame([result(encoder="resnet8"), result(encoder="resnet18")]))
    assert set(both["series"]) == {"plain, resnet8", "plain, resnet18"}


def test_strongest_attack_leaves_least_among_the_widely_tried(result):
    def attacked(share, attack, method):
        return result(share, method=method, attack=attack, norm="linf", eps="8/255")

    results = [
        attacked(0.3, "pgd", "a"),
        attacked(0.2, "pgd", "b"),
        attacked(0.25, "weak", "a"),
        attacked(0.26, "weak", "b"),
        attacked(0.0, "rare", "a"),
    ]
    assert strongest(points(frame(results))) == ("pgd", "linf", "8/255")
    assert strongest(points(frame([result()]))) is None


def test_the_telling_radius_is_where_the_strongest_attack_spreads_accuracies(result):
    def attacked(share, attack, eps, method):
        return result(share, method=method, attack=attack, norm="linf", eps=eps)

    results = [
        attacked(0.1, "strong", "4/255", "a"),
        attacked(0.3, "strong", "4/255", "b"),
        attacked(0.0, "strong", "8/255", "a"),
        attacked(0.02, "strong", "8/255", "b"),
        attacked(0.1, "weak", "8/255", "a"),
        attacked(0.9, "weak", "8/255", "b"),
    ]
    assert strongest(points(frame(results))) == ("strong", "linf", "8/255")
    assert telling(points(frame(results))) == ("strong", "linf", "4/255")
    assert telling(points(frame([result()]))) is None


@pytest.mark.parametrize("kind", [trade_off, eps_curve, transfer])
def test_figures_of_accuracies_name_every_method(kind, grid):
    results = grid(methods=("plain_$x$", "clae", "_rocl(steps=10)"), n=50, flagged="clae")
    text = " ".join(words(drawn(kind.picture(points(frame(results))))))
    for method in ("plain_$x$", "clae", "_rocl(steps=10)"):
        assert method in text
    assert "flagged" in text


@pytest.mark.parametrize("kind", [trade_off, eps_curve, transfer])
def test_a_flag_on_every_number_is_said_once_and_crosses_nothing_out(kind, grid):
    results = [with_flag(result, "subset") for result in grid(n=50)]
    text = " ".join(words(drawn(kind.picture(points(frame(results))))))
    assert "all flagged: subset" in text
    assert ", × flagged" not in text
    assert "* flagged" not in text


def test_a_flag_of_the_clean_number_crosses_out_the_trade_off(grid):
    results = grid(n=50)
    assert "flagged" not in " ".join(words(drawn(trade_off.picture(points(frame(results))))))
    flagged = [
        with_flag(one, "random") if one.cell.labels.attack == "clean" else one for one in results
    ]
    assert ", × flagged" in " ".join(words(drawn(trade_off.picture(points(frame(flagged))))))


def test_the_same_shade_is_the_same_accuracy_in_all_panels_of_the_transfer(grid):
    shown = points(frame(grid(n=50)))
    scales = {
        (image.norm.vmin, image.norm.vmax)
        for axis in drawn(transfer.picture(shown)).axes
        for image in axis.images
    }
    assert len(scales) == 1


def test_figures_without_data_are_left_out(result):
    clean = points(frame([result()]))
    assert trade_off.picture(clean) is None
    assert eps_curve.picture(clean) is None
    assert transfer.picture(clean) is None
    assert pretraining.picture([]) is None
    assert pretraining.picture([Curve("plain", "shapes10", "resnet8", 0, ())]) is None
    assert example_images.pictures([], AUTOATTACK) == []
    no_clean = points(frame([result(attack="spatial"), result(attack="pgd", norm="l2", eps="1")]))
    assert trade_off.picture(no_clean) is None
    assert eps_curve.picture(no_clean) is not None


def test_an_attack_without_eps_is_no_point_of_the_eps_curve(result):
    both = points(frame([result(), result(0.3, attack="spatial")]))
    assert eps_curve.picture(both) is None
    assert trade_off.picture(both) is not None


def test_a_line_skips_no_eps_that_another_attack_was_tried_at():
    assert eps_curve.is_complete({0.0, 4.0}, {0.0, 4.0, 8.0})
    assert not eps_curve.is_complete({0.0, 8.0}, {0.0, 4.0, 8.0})


def test_transfer_shows_every_pair_and_a_dash_for_a_missing_one(grid):
    results = [
        r
        for r in grid(n=50)
        if (r.cell.labels.source, r.cell.labels.method) != ("cifar100", "clae")
    ]
    shown = words(drawn(transfer.picture(points(frame(results)))))
    assert "–" in shown
    accuracies = [
        100 * r.cell.correct / r.cell.n for r in results if r.cell.labels.attack == "clean"
    ]
    assert {f"{accuracy:.1f}" for accuracy in accuracies} <= shown


def test_pretraining_has_a_panel_a_method(curves):
    figure = drawn(pretraining.picture(curves(methods=("plain", "rocl"), seeds=(0, 1))))
    panels = {axis.get_title(): len(axis.lines) for axis in figure.axes}
    assert panels == {"plain": 4, "rocl": 4}


def test_examples_say_true_and_predicted_classes_and_the_scale(examples):
    (page,) = example_images.pictures([examples("rocl")], AUTOATTACK)
    shown = words(drawn(page))
    assert {"true", "clean", "autoattack\n8/255", "change\n× 16", "✓", "✗"} <= shown
    assert {"automobile", "deer"} <= shown


def test_examples_of_many_methods_go_on_pages(examples):
    pages = example_images.pictures([examples(f"method{i}") for i in range(4)], AUTOATTACK)
    assert [page.name for page in pages] == ["examples", "examples_2"]


def test_examples_show_one_attack_in_domain_and_one_seed(examples):
    def named(one, **names):
        return replace(one, labels=replace(one.labels, **names))

    one = examples("rocl")
    other_seed = replace(one, label=one.label[::-1])
    more = [
        other_seed,
        named(one, attack="pgd"),
        named(one, target="cifar100"),
        replace(one, norm="", eps=""),
        named(one, source="shapes10", target="shapes10"),
    ]
    pages = example_images.pictures([one, *more], AUTOATTACK)
    titles = [words(page.draw()) & {"rocl, cifar10", "rocl, shapes10"} for page in pages]
    assert titles == [{"rocl, cifar10"}, {"rocl, shapes10"}]
    assert pages[0].data == example_images.pictures([*more[::-1], one], AUTOATTACK)[0].data
    transfers = example_images.pictures([named(one, target="cifar100")], AUTOATTACK)
    assert "rocl, cifar10 → cifar100" in words(transfers[0].draw())
    assert example_images.pictures([one], None) == []


@pytest.mark.parametrize(("largest", "factor"), [(8 / 255, 16.0), (0.5, 1.0), (0.0, 1.0)])
def test_the_largest_change_fills_half_the_pixel_range(largest, factor):
    assert magnification(np.float32([0.0, -largest])) == factor


def test_files_are_as_wide_as_a_column_and_carry_no_date(tmp_path, curves):
    png, pdf = save([pretraining.picture(curves())], tmp_path)
    with Image.open(png) as image:
        assert image.width == 990  # 3.3 inches at 300 dpi
        assert set(image.info) <= {"Comment", "dpi"}
    content = pdf.read_bytes()
    assert b"CreationDate" not in content
    assert b"/Type3" not in content


def test_an_unchanged_figure_is_not_drawn_again(tmp_path, curves):
    def never():
        raise AssertionError("drawn again")

    never.__module__ = pretraining.__name__
    picture = pretraining.picture(curves())
    paths = save([picture], tmp_path)
    before = [path.read_bytes() for path in paths]
    save([replace(picture, draw=partial(never))], tmp_path)
    assert [path.read_bytes() for path in paths] == before
    with pytest.raises(AssertionError, match="drawn again"):
        save([replace(picture, data=b"other", draw=partial(never))], tmp_path)


def test_a_stale_figure_goes_and_a_foreign_one_stays(tmp_path, curves):
    paths = save([pretraining.picture(curves(methods=("a",), epochs=2))], tmp_path)
    foreign = tmp_path / "mine.png"
    foreign.write_bytes(b"not robench's")
    assert save([], tmp_path) == []
    assert not any(path.exists() for path in paths)
    assert foreign.exists()
