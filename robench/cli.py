"""The command line. Heavy modules are imported inside the commands, so that ``--help`` is quick."""

import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from robench.catalog.request import OPTIONS, PLACES, STORED, Places, Request, gathered
from robench.catalog.typed import specs
from robench.grid.spec import nearest, printable

if TYPE_CHECKING:
    from robench.api import Results

Command = Callable[..., Any]

COMPONENTS = ("methods", "attacks", "datasets", "encoders", "probes", "metrics", "presets")
LISTS = (*COMPONENTS, "published", "results")
EXPECTED = (
    "SpecError",
    "DataError",
    "StoreError",
    "TrainingError",
    "ProbeError",
    "EvaluationError",
)


class Terminated(BaseException):
    """The process was asked to end; only `main` catches this."""


def main() -> None:
    """Run the command line and exit: 0 done, 1 a cell failed, 2 bad input, 130 or 143 stopped."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Exit as leaving:
        code = leaving.exit_code
    except click.ClickException as error:
        code = _complain(error.format_message())
    except (click.Abort, KeyboardInterrupt):
        code = _complain("interrupted; the same command goes on from here", 130)
    except Terminated:
        code = _complain("stopped; the same command goes on from here", 143)
    except OSError as error:
        code = _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except Exception as error:
        # Compared by name: importing the classes would import torch.
        if type(error).__name__ not in EXPECTED:
            raise
        code = _complain(str(error))
    sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str, code: int = 2) -> int:
    _note(" ".join(message.split()))
    return code


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def _say(line: str, error: bool = False) -> None:
    for one in line.splitlines() or [""]:
        click.echo(printable(one), err=error)  # lines quote files


def _note(line: str) -> None:
    _say(f"robench: {line}", error=True)


def _failed(failures: Sequence[str]) -> int:
    """Print each failure; the exit code."""
    for failure in failures:
        _note(f"failed: {failure}")
    return 1 if failures else 0


class Commands(click.Group):
    """Commands with suggestions for a mistyped name."""

    def resolve_command(self, context: click.Context, arguments: list[str]) -> Any:
        """The command that the first argument names."""
        known = self.list_commands(context)
        if arguments[0] not in known and not arguments[0].startswith("-"):
            raise click.UsageError(f"no command '{arguments[0]}'; {nearest(arguments[0], known)}")
        return super().resolve_command(context, arguments)


def options(*names: str) -> Callable[[Command], Command]:
    """Give a command these options; it gets them as a `Request` and `Places`."""

    def decorate(command: Command) -> Command:
        @wraps(command)
        def called(**typed: Any) -> Any:
            return command(**gathered(names, typed))

        for name in reversed(names):
            field = OPTIONS[name]
            called = click.option(
                f"--{field.metadata['flag'] or name}",
                name,
                help=field.metadata["help"],
                default=str(field.default) if field.default else None,
                show_default=bool(field.default),
                **field.metadata["click"],
            )(called)
        return called

    return decorate


dry_run_option = click.option(
    "--dry-run",
    is_flag=True,
    help="Print what is cached, what would be computed, and a rough time.",
)


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="robench")
@click.pass_context
def cli(context: click.Context) -> None:
    """Robustness benchmarks for contrastive self-supervised encoders.

    Pretrains encoders (plain SimCLR, CLAE, RoCL, or your own), fits linear probes, attacks them,
    covers the transfer between data sets, and writes tables and plots. Stored answers are never
    computed again.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@cli.command()
@options(*OPTIONS)
@dry_run_option
def run(request: Request, places: Places, dry_run: bool) -> int:
    """Answer a grid: pretrain, probe, attack, and write tables and plots.

    What is typed wins over the preset, the preset over a method's own schedule.
    """
    from robench import api
    from robench.engine.work import keep_freed_memory

    if dry_run:
        for line in api.dry_run(request=request, places=places, warn=_note):
            _say(line)
        return 0
    keep_freed_memory()
    start = time.monotonic()
    with _display() as told:
        results = api.run(request=request, places=places, **told)
    return _shown(results, time.monotonic() - start)


@contextmanager
def _display() -> Iterator[dict[str, Any]]:
    """Keywords for progress, lines and warnings: a bar on a terminal, lines elsewhere."""
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        yield {"say": _say, "warn": _note}
        return
    from rich.console import Console

    from robench.engine.terminal import Terminal

    with Terminal(Console()) as display:
        yield {"progress": display, "say": display.say, "warn": display.warn}


def _shown(results: "Results", seconds: float) -> int:
    """Print the table of a run, a summary, its failures and where the files are; the exit code."""
    if results.table:
        from robench.report.render import shown

        click.echo(f"\n{shown(results.table)}")
    code = _failed(results.failures)
    if results.missing:
        _note(f"{results.missing} of {len(results) + results.missing} cells are missing")
    from robench.engine.progress import duration

    computed = len(results) - results.cached
    parts = f"{computed} computed, {results.cached} cached, {len(results.failures)} failed"
    _say(f"{parts}, in {duration(seconds)}")
    if results.table:
        _say(f"files  {results.out}: table.md, table.tex, results.csv, figures, cells")
    return code


@cli.command()
@click.argument("table")
@click.option(
    "--scale",
    default="cpu-hour",
    show_default=True,
    help="full, the paper's settings; or gpu-hour or cpu-hour, which claim nothing about them.",
)
@options("seeds", *PLACES)
@dry_run_option
def reproduce(table: str, scale: str, request: Request, places: Places, dry_run: bool) -> int:
    """Run a published table again, and print its values beside the measured ones.

    TABLE is rocl-table1, rocl-transfer or clae-table2. Results go to
    results/reproduce/TABLE-SCALE.
    """
    from robench import api
    from robench.engine.work import keep_freed_memory
    from robench.reproduction import markdown

    places = replace(places, out=places.out or Path(f"results/reproduce/{table}-{scale}"))
    if dry_run:
        for line in api.dry_run_of(table, scale, request=request, places=places, warn=_note):
            _say(line)
        return 0
    keep_freed_memory()
    with _display() as told:
        made = api.reproduce(table, scale, request=request, places=places, **told)
    click.echo(f"\n{markdown(made)}")
    _say(f"This table, as CSV too, and cells: {places.out}")
    return _failed(made.failures)


@cli.command("ls")
@click.argument("kind", metavar="|".join(LISTS))
@click.argument("words", nargs=-1)
@options("out", "zoo", "plugins")
def list_(kind: str, words: tuple[str, ...], places: Places) -> None:
    """List components with their arguments, presets, stored results, or published values.

    WORDS choose among the published values, such as `robench ls published rocl cifar10 clean`.
    """
    if kind not in LISTS:
        raise click.UsageError(f"cannot list '{kind}'; {nearest(kind, LISTS)}")
    if kind == "published":
        from robench.report.published import listing, values

        click.echo("\n".join(listing(values(), words)))
        return
    if words:
        raise click.UsageError(f"unexpected '{words[0]}'; only `robench ls published` takes words")
    from robench.catalog.catalog import Catalog
    from robench.engine.reporting import listed

    catalog = Catalog(places.plugins)
    for line in listed(places, catalog, _note) if kind == "results" else catalog.listed(kind):
        _say(line)


@cli.group(cls=Commands, invoke_without_command=True)
@click.pass_context
def presets(context: click.Context) -> None:
    """List presets, or show what one runs and where its settings come from."""
    if context.invoked_subcommand is None:
        context.invoke(list_, kind="presets")


@presets.command()
@click.argument("name")
def show(name: str) -> None:
    """Show all that the preset NAME sets: its sources, and where it parts from paper and code."""
    from robench.catalog.catalog import Catalog
    from robench.catalog.plan import plan
    from robench.catalog.scale import schedules
    from robench.report.preset import as_text

    catalog, request = Catalog(), Request(preset=name)
    click.echo(as_text(name, catalog))
    click.echo("\n".join(schedules(plan(request, catalog), request, catalog)))


@cli.command()
@options(*STORED)
def report(request: Request, places: Places) -> None:
    """Write tables and plots again from the stored cells; nothing is computed."""
    from robench import api

    for path in api.report(request=request, places=places, say=_note):
        _say(str(path))


@cli.command()
@click.argument("method_a")
@click.argument("method_b")
@options(*STORED)
@click.option(
    "--worst-case",
    "attacks",
    metavar="ATTACKS",
    help="Add the worst case over these, such as pgd,autoattack.",
)
@click.option(
    "--csv", "file", type=click.Path(path_type=Path), help="Write the comparison here as well."
)
def compare(
    method_a: str,
    method_b: str,
    request: Request,
    places: Places,
    attacks: str | None,
    file: Path | None,
) -> None:
    """Compare two methods image by image: difference, interval and p; nothing is computed."""
    from robench import api
    from robench.report import compare as comparing
    from robench.report.render import frame_csv, shown
    from robench.report.write import save

    made = api.compare(
        method_a, method_b, worst_case=attacks, request=request, places=places, say=_note
    )
    if file is not None:
        save(file, frame_csv(comparing.frame(made)).encode())
    click.echo(shown(comparing.table(made)), nl=False)


@cli.command()
@click.argument("methods", nargs=-1, required=True)
@options(*(name for name in OPTIONS if name != "methods"))
@click.option("--alpha", default=0.05, show_default=True, help="The chance of a wrong verdict.")
def race(methods: tuple[str, ...], request: Request, places: Places, alpha: float) -> None:
    """Attack METHODS batch after batch until a test tells them apart, or the images end.

    The verdict holds however often it is looked at. Cells stay, and grow in later runs.
    """
    from robench import api
    from robench.engine.work import keep_freed_memory

    request = replace(request, methods=specs("methods", methods))
    keep_freed_memory()
    for verdict in api.race(request=request, places=places, alpha=alpha, say=_note, warn=_note):
        _say(str(verdict))


@cli.command("worst-case")
@click.argument("attacks")
@options(*STORED)
def worst_case(attacks: str, request: Request, places: Places) -> None:
    """Show the table with the worst case over ATTACKS, such as pgd,autoattack, image by image."""
    from robench import api
    from robench.report.render import shown

    table = api.worst_case(attacks, request=request, places=places, say=_note)
    click.echo(shown(table), nl=False)


@cli.group(cls=Commands, invoke_without_command=True)
@click.pass_context
def data(context: click.Context) -> None:
    """Get data sets."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@data.command()
@click.argument("name")
@options("data")
def fetch(name: str, places: Places) -> None:
    """Download and unpack cifar10 or cifar100; a download that broke off resumes."""
    from robench.data.cifar import fetch
    from robench.engine.progress import bar

    _say(f"{fetch(name, places.root, bar)}: complete, checksums as published")


@cli.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--encoder", help="The architecture, such as resnet18.  [default: by the shapes]")
@click.option(
    "--normalize",
    help="Pixels' mean and deviation: cifar10, cifar100, imagenet, half, none, or 'MEAN:STD'.",
)
@click.option("--stem", help="cifar or imagenet, or changed, such as cifar-pad2 or cifar-pool.")
@click.option("--prefix", help="Of several encoders: where one's names begin, such as encoder_q.")
@click.option("--data", "dataset", required=True, help="The data set, such as cifar10.")
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of data sets, which is --data elsewhere.  [default: $ROBENCH_DATA or data]",
)
@options("attacks", "norms", "eps", "limit")
@click.option("--preset", default="cifar", show_default=True, help="For all that is not typed.")
@click.option("--probe", help="The classifier on features.  [default: the file's own, or preset's]")
@click.option("--bn", "branch", help="Of two BatchNorm branches: clean or adversarial.")
@options("out", "zoo", "device", "workers", "threads", "plugins", "debug", "accept_older_code")
def evaluate(
    checkpoint: Path, places: Places, request: Request, root: Path | None, **settings: str
) -> int:
    """Attack somebody else's model: a checkpoint in safetensors, or as torch.save writes it.

    No code in the file is run. Known by their names are the weights of RoCL, CLAE, ACL, AdvCL,
    DynACL, solo-learn, lightly, torchvision's and pytorch-cifar's residual networks. Its encoder
    goes into the zoo, and its results stand beside those of runs with the same preset.
    """
    from robench import api

    places = replace(places, data=root)
    start = time.monotonic()
    with _display() as told:
        results = api.evaluate(checkpoint, request=request, places=places, **settings, **told)
    return _shown(results, time.monotonic() - start)


@cli.command()
@click.argument("key")
@click.option("--target", help="The data set to probe and attack on.  [default: the encoder's own]")
@click.option("--probe", default="linear", show_default=True, help="The classifier on features.")
@click.option("--no-autoattack", is_flag=True, help="Skip what takes longest.")
@options("limit", "eps", "zoo", "data", "device", "plugins", "debug")
def audit(
    key: str, target: str | None, probe: str, no_autoattack: bool, request: Request, places: Places
) -> int:
    """Try every check on the encoder KEY of the zoo: a line each, and a verdict.

    KEY is the name of its folder. Attacks are in linf, on 200 images at 8/255 if nothing else is
    typed. Exits with 0 where nothing was found, and 1 where something was.
    """
    from robench import api
    from robench.engine.audit import Verdict, summary

    findings = []
    with _display() as told:
        checks = api.audit(
            key,
            target=target,
            probe=probe,
            autoattack=not no_autoattack,
            request=request,
            places=places,
            **told,
        )
        for finding in checks:
            findings.append(finding)
            told["say"](str(finding))
    _say(summary(findings))
    return 0 if all(finding.verdict is Verdict.OK for finding in findings) else 1


@cli.command()
@options("data")
def doctor(places: Places) -> None:
    """Show versions, devices and data, and how to get what is missing."""
    from robench.engine.doctor import examine

    for line in examine(places.root):
        _say(line)
