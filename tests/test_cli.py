"""The command line: bad input is one line and exit 2, an interruption costs nothing finished."""

import csv
import inspect
import json
import re
import shlex
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from commands import PLUGINS, TOY_RUN, TOYS, files, finished, robench, toys_in, without_figures

from robench import api
from robench.catalog.request import OPTIONS
from robench.cli import COMPONENTS, LISTS
from robench.grid.records import SCHEMA
from robench.store.formats import sealed


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Every command runs in an empty folder, draws no figures and computes only what it must."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ROBENCH_DATA", raising=False)
    with without_figures():
        yield tmp_path


@pytest.fixture
def no_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    for stage in ("pretrain", "probe", "evaluate"):
        monkeypatch.setattr(f"robench.engine.bench.{stage}", pytest.fail)


def refused(*words: str) -> str:
    """The one line that a refused command says, after the schedule at most."""
    done = robench(*words)
    assert (done.code, done.err[:9], done.err.count("\n")) == (2, "robench: ", 1)
    assert all(re.match(r"Schedule of |\d+ cells: ", line) for line in done.out.splitlines())
    return done.err.removeprefix("robench: ").strip()


@pytest.mark.usefixtures("no_compute")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("rnu", "no command 'rnu'; did you mean run?"),
        ("data ftech", "no command 'ftech'; did you mean fetch?"),
        ("run --metods plain", "--methods"),
        ("run extra", "extra"),
        ("run --methods rokl", "no method 'rokl'; did you mean rocl"),
        ("run --preset quik", "no preset 'quik'; did you mean quick"),
        ("run --attacks pgd(step=3)", "pgd has no argument 'step'; did you mean steps"),
        ("run --norm linff", "no norm 'linff'; did you mean linf"),
        ("run --norm ,", "the list is empty"),
        ("run --eps eight", "'eight' is not a number; write 8/255, 0.5 or 12"),
        ("run --seeds 0,x", "seeds=x should be a whole number, at least 0"),
        ("run --set rokl.lr=1", "--set rokl.lr: the run has no such method; did you mean rocl"),
        ("run --device cuda:99", "no device 'cuda:99'"),
        ("run --device meta", "no device 'meta'"),
        ("run --device cup", "no device 'cup'; did you mean cpu"),
        ("run --plugin missing.py", "plug-in 'missing.py' is not a file"),
        ("run --sources cifar10", "robench data fetch cifar10"),
        ("run --sources npz(path=no.npz)", "no.npz' does not exist"),
        ("run --dry-run --methods rokl", "no method 'rokl'"),
        ("ls method", "cannot list 'method'; did you mean methods?"),
        ("ls methods rokl", "no method 'rokl'; did you mean rocl"),
        ("ls zoo rocl", "unexpected 'rocl'"),
        ("run --methods rocl clae", "put commas between names: --methods rocl,clae"),
        ("run --methods rocl, clae --limit 3", "put commas between names: --methods rocl,clae"),
        ("run --methods rocl(steps=3, lamda=2)", 'quotes around it: --methods "rocl(steps=3, lam'),
        ("run --methods rocl(steps=3", "a bracket is not closed; a shell needs quotes"),
        ("run --config none.toml", "none.toml: No such file"),
        ("ls results --out nowhere", "no results in nowhere"),
        ("report", "no results in results/quick"),
        ("report --preset quik", "no preset 'quik'"),
        ("data fetch cifar11", "cifar11"),
    ],
)
def test_bad_input_is_one_line_before_any_compute(
    words: str, message: str, elsewhere: Path
) -> None:
    assert message in refused(*words.split())
    assert not list(elsewhere.rglob("*.npz"))


@pytest.mark.usefixtures("no_compute")
def test_blocked_folders_and_broken_plug_ins_are_refused_before_any_compute() -> None:
    Path("own.py").write_text("def broken(:\n")
    for words in (("--out", "own.py/below"), ("--zoo", "own.py")):
        assert "choose another folder" in refused("run", *words)
    assert "fails: SyntaxError" in refused("report", "--plugin", "own.py")


def test_a_newer_results_folder_is_refused_and_kept(
    elsewhere: Path, request: pytest.FixtureRequest
) -> None:
    words = finished(elsewhere)  # the first test that asks for it computes it
    request.getfixturevalue("no_compute")
    newer = json.dumps({"schema": SCHEMA + 1})
    (elsewhere / "out" / "cells" / "of-the-future.json").write_text(newer)
    before = files(elsewhere)
    for command in (words, ("report", "--out", "out"), ("ls", "results", "--out", "out")):
        assert "newer robench" in refused(*command)
    assert files(elsewhere) == before


def test_a_damaged_cell_is_reported_and_computed_again(elsewhere: Path) -> None:
    words = finished(elsewhere)
    assert robench(*words).code == 0
    table = (elsewhere / "out" / "table.md").read_bytes()
    cell = next((elsewhere / "out" / "cells").glob("*pgd*.json"))
    cell.write_bytes(cell.read_bytes()[:-7])
    done = robench(*words)
    assert done.code == 0
    assert done.err.count("\n") == 1
    assert f"{cell.name} is damaged (" in done.err
    assert (elsewhere / "out" / "table.md").read_bytes() == table
    assert robench(*words).err == ""


@pytest.mark.parametrize(
    ("sent", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "stopped")],
)
@pytest.mark.parametrize("at", ["pretraining", "pgd"])
def test_a_stopped_run_says_how_to_go_on_and_goes_on(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, sent: int, code: int, word: str, at: str
) -> None:
    def progress(items: Sequence[Any], desc: str, **rest: Any) -> Iterator[Any]:
        for item in items:
            if at in desc:
                signal.raise_signal(sent)
            yield item

    words = (*TOY_RUN, *toys_in(elsewhere))
    monkeypatch.setattr("robench.engine.progress.tqdm", progress)
    done = robench(*words)
    assert done.code == code
    assert done.err.strip() == f"robench: {word}; the same command goes on from here"
    monkeypatch.undo()
    monkeypatch.chdir(elsewhere)
    kept = {name: kept for name, kept in files(elsewhere).items() if name != "zoo/data.json"}
    assert any("clean" in name for name in kept) == (at == "pgd")
    half = [name for name in kept if "zoo/unfinished/" in name]
    assert len(half) == (at == "pretraining")
    with without_figures():
        done = robench(*words)
    assert done.code == 0
    assert done.err == "".join(f"robench: going on from {elsewhere / name}\n" for name in half)
    finished = files(elsewhere)
    assert kept.items() - {(name, kept[name]) for name in half} <= finished.items()
    assert finished.keys().isdisjoint(half)
    assert not [name for name in files(elsewhere) if Path(name).name.startswith(".")]


def test_a_failed_cell_stops_no_other_and_is_named_at_the_end(elsewhere: Path) -> None:
    text = (PLUGINS / "nudge.py").read_text().replace("self.eps * gradient", "0.9 * gradient")
    Path("leap.py").write_text(text)
    words = [*TOY_RUN, *toys_in(elsewhere), "--plugin", "leap.py"]
    words[words.index("pgd")] = "leap,pgd"
    done = robench(*words)
    assert done.code == 1
    assert "3/3  mirror  blobs → blobs  PGD-20 8/255" in done.out
    assert "│ mirror " in done.out
    last = done.err.strip().splitlines()
    assert "failed: mirror blobs -> blobs, leap linf 8/255: Nudge left its ball" in last[0]
    assert last[-1] == "robench: 1 of 3 cells are missing"


def test_a_run_without_any_answer_prints_no_table(elsewhere: Path) -> None:
    text = (PLUGINS / "mirror.py").read_text()
    Path("lost.py").write_text(text.replace("return nt_xent(", "return torch.nan * nt_xent("))
    words = [*TOY_RUN, *toys_in(elsewhere), "--plugin", "lost.py"]
    words[words.index("mirror")] = "lost"
    done = robench(*words)
    assert done.code == 1
    assert "2 of 2 cells are missing" in done.err
    assert "│" not in done.out
    assert not (elsewhere / "out" / "results.csv").exists()


@pytest.mark.parametrize(
    ("kind", "own", "parts"),
    [
        ("methods", "mirror", ["rocl RoCL 13 ", "plain SimCLR 2 ", "2006.07589"]),
        ("attacks", "nudge", ["autoattack ", "1 to 4,467", "Madry et al. 2018"]),
        ("datasets", "blobs", ["npz ", "CIFAR-10", "shapes10 "]),
        ("encoders", "tiny", ["resnet8 "]),
        ("probes", "centroid", ["linear-sgd "]),
        ("metrics", "spread", ["accuracy "]),
        ("presets", "", ["cifar-small", "paper/rocl"]),
        ("results", "", ["no results yet; robench run makes some"]),
    ],
)
def test_lists_have_names_and_arguments(kind: str, own: str, parts: list[str]) -> None:
    done = robench("ls", kind)
    assert (done.code, done.err) == (0, "")
    said = " ".join(done.out.split())
    assert all(part in said for part in parts)
    if own:
        assert f"\n{own} " not in f"\n{done.out}"
        plugged = robench("ls", kind, "--plugin", str(PLUGINS / f"{own}.py"))
        assert f"\n{own} " in f"\n{plugged.out}"


def test_what_can_be_listed_is_listed_and_a_component_in_full() -> None:
    assert all(f"\n{kind} " in robench("ls").out for kind in LISTS)
    said = robench("ls", "methods", "SimCLR", "RoCL").out
    assert said.startswith("plain: NT-Xent")
    assert re.search(r"^steps +7$", said, re.MULTILINE)
    assert 'quotes for the shell: --methods "rocl(temperature=0.5, ' in said
    assert "`" not in "".join(robench("ls", kind).out for kind in COMPONENTS)


def test_the_zoo_is_listed(elsewhere: Path) -> None:
    assert "robench run fills the zoo" in robench("ls", "zoo").out
    finished(elsewhere)
    (key,) = [path.name for path in (elsewhere / "zoo").iterdir() if "mirror" in path.name]
    assert re.search(rf"^{key} +mirror +blobs +tiny +1 ", robench("ls", "zoo", *TOYS).out, re.M)


def test_names_are_understood_in_any_case_and_as_papers_have_them() -> None:
    names = "SimCLR,CLAE,rocl"
    first, *_ = robench("run", "--methods", names, "--preset", "Quick", "--dry-run").out.split(":")
    assert first == "Schedule of plain, clae, rocl"
    done = robench(
        "run", "--methods", "plain", "--attacks", "PGD", "--targets", "Shapes-10", "--dry-run"
    )
    assert done.code == 0, done.err


def test_a_method_of_one_s_own_needs_its_plug_in() -> None:
    Path("my_own.py").write_text("")
    assert refused("run", "--methods", "my-own") == "no method 'my-own'; add --plugin my_own.py"


def test_a_run_says_what_to_type_next_and_a_name_finds_its_only_variant(elsewhere: Path) -> None:
    words = [*finished(elsewhere)]
    done = robench(*words)
    assert re.search(r"^next:  robench audit mirror-blobs-tiny-s0-\w+$", done.out, re.MULTILINE)
    assert re.search(r"^2 cached|0 computed, 2 cached, 0 failed, in \d+ s$", done.out, re.MULTILINE)
    words[words.index("mirror")] = "mirror,plain(temperature=0.2)"
    done = robench(*words)
    (next_,) = re.findall(r"^next:  robench (.*)$", done.out, re.MULTILINE)
    assert next_.startswith(f"compare plain mirror --out {elsewhere / 'out'} --plugin ")
    compared = robench(*shlex.split(next_))
    assert compared.code == 0, compared.err
    assert "temperature=0.2" in compared.out
    shown = robench("report", "--out", "out", *TOYS)
    assert shown.code == 0
    assert "temperature=0.2" in shown.out
    assert "<" not in done.out + shown.out


def test_a_report_with_a_metric_that_fails_shows_its_table_and_exits_with_1(
    elsewhere: Path,
) -> None:
    finished(elsewhere)
    text = (PLUGINS / "spread.py").read_text()
    Path("torn.py").write_text(re.sub(r"    return .*", "    raise ValueError('torn')", text))
    done = robench("report", "--out", "out", *TOYS, "--plugin", "torn.py")
    assert done.code == 1
    assert "│ mirror " in done.out
    assert "failed: metric torn" in done.err


def test_options_are_read_from_the_file_that_a_command_wrote(elsewhere: Path) -> None:
    words = (*TOY_RUN, *toys_in(elsewhere), "--dry-run")
    first = robench(*words, "--set", "weight_decay=0.1", "--save-config", "run.toml")
    assert 'epochs = "1"' in Path("run.toml").read_text()
    assert robench("run", "--config", "run.toml", "--dry-run").out == first.out
    wins = robench("run", "--config", "run.toml", "--dry-run", "--epochs", "2").out
    assert wins.startswith("Schedule of mirror: 2 epochs")
    Path("own.toml").write_text('methods = ["plain", "clae"]\nepochs = 3\nset = ["lr=0.1"]\n')
    plan = robench("run", "--config", "own.toml", "--dry-run").out
    assert plan.startswith("Schedule of plain, clae: 3 epochs")
    assert "lr 0.1" in plan
    Path("own.toml").write_text("epoch = 3\n")
    assert "no option 'epoch'; did you mean epochs" in refused("run", "--config", "own.toml")
    Path("own.toml").write_text("epochs 3\n")
    assert "own.toml: " in refused("run", "--config", "own.toml")


def test_hints_name_the_folder_that_has_results_and_one_of_another_preset(elsewhere: Path) -> None:
    finished(elsewhere)
    (elsewhere / "results").mkdir()
    (elsewhere / "out").rename(elsewhere / "results" / "cifar")
    assert "there are some in results/cifar: give --preset or --out" in refused("report")
    words = [*TOY_RUN, "--attacks", "pgd", "--eps", "8/255"]
    done = robench(*words, "--out", "results/cifar")
    assert "results/cifar is the folder of another preset than quick" in done.err


def test_seeds_of_earlier_runs_in_a_table_are_said(elsewhere: Path) -> None:
    words = finished(elsewhere)
    done = robench(*words, "--seeds", "1", "--attacks", "clean")
    assert "the table has seeds of earlier runs too (0); --out keeps a run apart" in done.out


@pytest.mark.parametrize("columns", ["80", "100"])
def test_help_has_groups_an_example_and_whole_summaries(
    columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    whole = robench("--help").out
    assert "..." not in re.sub(r"\[.*", "", whole)
    for name in ("run", "ls", "report", "compare", "worst-case", "evaluate", "audit", "reproduce"):
        said = robench(name, "--help").out
        assert f"Example:\n    robench {name} " in said
        assert max(map(len, said.splitlines())) <= int(columns)
        assert "``" not in said
    headings = re.findall(r"^([A-Z].*):$", robench("run", "--help").out, re.MULTILINE)
    assert headings == [
        "What to run",
        "How to pretrain",
        "Where things are",
        "How to compute",
        "Other options",
    ]


def test_debug_shows_the_traceback_of_an_audit_too(elsewhere: Path) -> None:
    finished(elsewhere)
    (key,) = [path.name for path in (elsewhere / "zoo").iterdir() if "mirror" in path.name]
    text = (PLUGINS / "centroid.py").read_text()
    Path("torn.py").write_text(text.replace("features = extract(", "raise ValueError('torn')  #"))
    words = ("audit", key, "--probe", "torn", "--limit", "8", "--plugin", "torn.py", *TOYS)
    done = robench(*words, "--debug")
    assert (done.code, "ERROR  frozen" in done.out) == (1, True), done
    assert "\nValueError: torn\n" in done.out
    assert "Traceback" not in robench(*words).out
    assert "--debug" in robench("evaluate", "--help").out


def test_results_are_listed_in_words(elsewhere: Path) -> None:
    finished(elsewhere)
    done = robench("ls", "results", "--out", "out", *TOYS)
    clean, attacked, total = done.out.splitlines()
    assert "%  mirror blobs -> blobs, clean, seed 0, n 16, flagged subset  mirror-blobs-" in clean
    assert "mirror blobs -> blobs, pgd linf 8/255, seed 0, n 16" in attacked
    assert total.startswith("out: 2 cells, made 20")


def test_a_report_can_be_written_again(elsewhere: Path) -> None:
    robench(*finished(elsewhere))
    before = {name: data for name, (data, _) in files(elsewhere).items()}
    for name in ("table.md", "table.tex", "table.csv", "results.csv"):
        (elsewhere / "out" / name).unlink()
    done = robench("report", "--out", "out", "--zoo", "zoo", *TOYS)
    assert done.code == 0
    assert done.err.startswith("robench: reported 2 cells, made 20")
    assert "out/table.md" in done.out
    assert {name: data for name, (data, _) in files(elsewhere).items()} == before


def test_a_report_keeps_to_the_size_of_the_latest_cell(elsewhere: Path) -> None:
    words = finished(elsewhere)
    old = set((elsewhere / "out" / "cells").glob("*.json"))
    robench(*words, "--epochs", "2")
    for cell in (elsewhere / "out" / "cells").glob("*.json"):  # cells of one second have no order
        content = json.loads(cell.read_bytes())
        year = "2020" if cell in old else "2021"
        content["provenance"]["finished"] = f"{year}-01-01T00:00:00+00:00"
        cell.write_bytes(sealed(json.dumps(content).encode()))
    keys = {path.stem for path in (elsewhere / "out" / "cells").glob("*.json") if path not in old}
    done = robench("report", "--out", "out")
    assert (done.code, done.err.count("\n")) == (0, 1)
    assert "reported 2 cells, made 2021-01-01" in done.err
    assert ", at 2 epochs of 192 images" in done.err
    assert "left out 2 at 1 epoch of 192 images" in done.err
    with (elsewhere / "out" / "results.csv").open(newline="") as file:
        assert {row["key"] for row in csv.DictReader(file)} == keys
    assert all(path.exists() for path in old)


def test_every_field_is_an_option_and_a_keyword() -> None:
    shown = robench("run", "--help").out
    keywords = inspect.signature(api.run).parameters
    for name, field in OPTIONS.items():
        assert re.search(rf"^  --{field.metadata['flag'] or name} ", shown, re.MULTILINE)
        assert name in keywords
        assert f"    {name}: {field.metadata['help']}" in str(api.run.__doc__)


def test_help_and_version_answer() -> None:
    for words in ([], ["--help"], ["data"], ["run", "--help"], ["ls", "-h"]):
        done = robench(*words)
        assert (done.code, done.err) == (0, "")
        assert "Usage: " in done.out
    assert robench("--version").code == 0


def test_a_dry_run_writes_nothing_and_leaves_damage_alone(elsewhere: Path) -> None:
    done = robench(*TOY_RUN, *toys_in(elsewhere), "--dry-run")
    assert done.code == 0
    schedule, counts, *_ = done.out.splitlines()
    assert schedule.startswith("Schedule of mirror: 1 epoch of up to 192 images in batches of 128 ")
    assert schedule.endswith("; preset quick's, not the method's own, with images=192, epochs=1")
    assert counts == "2 cells: 0 cached, 2 to compute; 1 encoder, 1 to pretrain"
    assert list(elsewhere.iterdir()) == []

    words = finished(elsewhere)
    next((elsewhere / "out" / "cells").glob("*pgd*.json")).write_bytes(b"{")
    before = files(elsewhere)
    done = robench(*words, "--dry-run")
    assert "\n2 cells: 1 cached, 1 to compute; 1 encoder, 0 to pretrain\n" in done.out
    assert "is damaged" in done.err
    assert files(elsewhere) == before


def test_a_published_folder_is_left_as_it_is(elsewhere: Path) -> None:
    words = list(finished(elsewhere))
    at = words.index("--out")
    del words[at : at + 2]
    published = elsewhere / "results" / "quick"
    published.parent.mkdir()
    (elsewhere / "out").rename(published)
    (published / "published.json").write_text("{}")
    before = files(published)
    _, plan, read, then, *_ = robench(*words).out.splitlines()
    assert plan == "2 cells: 2 cached, 0 to compute; 1 encoder, 0 to pretrain"
    assert (read[:12], then) == ("read 2 cells", "")  # nothing to compute
    words[words.index("pgd")] = "pgd,nudge"
    done = robench(*words)
    assert "3/3  mirror  blobs → blobs  nudge 8/255 " in done.out
    assert "2/3 " not in done.out
    assert files(published) == before
    own = elsewhere / "results" / "quick.own"
    assert len(list((own / "cells").glob("*.json"))) == 1
    assert len((own / "results.csv").read_text().splitlines()) == 4
    assert robench("report").code == 0
    assert files(published) == before
