"""The command line. Heavy modules are imported inside the commands, so that ``--help`` is quick."""

import json
import shlex
import signal
import sys
import time
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from itertools import takewhile
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource as CommandLine

from robench.catalog.request import OPTIONS, PLACES, STORED, Places, Request, gathered
from robench.catalog.typed import specs
from robench.grid.spec import nearest, printable

if TYPE_CHECKING:
    from robench.api import Results

Command = Callable[..., Any]

OTHER, HOW = "Other options", "How to compute"
COMPONENTS = ("methods", "attacks", "datasets", "encoders", "probes", "metrics", "presets")
LISTS = (*COMPONENTS, "results", "zoo", "published")
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


class Option(click.Option):
    """An option that stands under a heading of its command's help."""

    def __init__(self, *names: Any, group: str = OTHER, **settings: Any) -> None:
        super().__init__(*names, **settings)
        self.group = group


class Subcommand(click.Command):
    """A command whose help has its options in groups, and which says where a comma is missing."""

    allow_extra_args = True  # `parse_args` refuses them

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        """Read the words. Raises UsageError for one too many, with what was meant."""
        typed = list(arguments)
        rest = super().parse_args(context, arguments)
        if context.args:
            raise click.UsageError(_unexpected(context.args[0], typed))
        return rest

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options by group."""
        groups = defaultdict[str, list[tuple[str, str]]](list)
        for option in self.get_params(context):
            record = option.get_help_record(context)
            if record is not None and isinstance(option, click.Option):
                groups[getattr(option, "group", OTHER)].append(record)
        for heading in sorted(groups, key=lambda one: (one == OTHER, one == HOW)):
            with formatter.section(heading):
                formatter.write_dl(groups[heading])


def _unexpected(extra: str, typed: Sequence[str]) -> str:
    """What was meant by a word too many: names go between commas, brackets between quotes."""
    before = list(typed[: typed.index(extra)])
    options = [place for place, word in enumerate(before) if word.startswith("--")]
    if not options or len(before) - options[-1] != 2:
        return f"unexpected '{extra}'"
    words = [before[-1], *takewhile(lambda one: not one.startswith("-"), typed[len(before) :])]
    if "(" in "".join(words):
        return f"unexpected '{extra}'; put quotes around it: {before[-2]} \"{' '.join(words)}\""
    names = ",".join(word.strip(",") for word in words)
    return f"unexpected '{extra}'; put commas between names: {before[-2]} {names}"


class Commands(click.Group):
    """Commands in the order they are written, with suggestions for a mistyped name."""

    command_class = Subcommand

    def list_commands(self, context: click.Context) -> list[str]:
        """The names of the commands."""
        return list(self.commands)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each command with its whole first sentence."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, one.get_short_help_str(1000)) for name, one in self.commands.items()]
            )

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
                cls=Option,
                group=field.metadata["group"],
                help=field.metadata["help"],
                default=str(field.default) if field.default else None,
                show_default=bool(field.default),
                **field.metadata["click"],
            )(called)
        return called

    return decorate


def example(*commands: str) -> str:
    """The epilog of a help with commands to type."""
    return "\b\nExample:\n" + "\n".join(f"  {command}" for command in commands)


def _read_config(context: click.Context, option: click.Parameter, file: Path | None) -> None:
    """Take what the file sets as defaults of the command's options."""
    if file is None:
        return
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{file}: {error}") from None
    known = {_flag(one): one for one in context.command.params if one.name in OPTIONS}
    context.default_map = {}
    for key, value in content.items():
        if key not in known:
            raise click.UsageError(f"{file}: no option '{key}'; {nearest(key, list(known))}")
        several = [str(one) for one in value] if isinstance(value, list) else [str(value)]
        name = known[key].name or ""
        context.default_map[name] = several if known[key].multiple else ",".join(several)


def _save_config(context: click.Context, file: Path) -> None:
    """Write what was typed, or read from another file, so that ``--config`` reads it."""
    lines = []
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if option.name in OPTIONS and source in (CommandLine.COMMANDLINE, CommandLine.DEFAULT_MAP):
            value = context.params[option.name]
            shown = list(value) if isinstance(value, tuple) else value
            lines.append(f"{_flag(option)} = {json.dumps(shown, ensure_ascii=False)}\n")
    from robench.files import atomic_write  # imports numpy

    with atomic_write(file) as out:
        out.write("".join(lines).encode())


def _flag(option: click.Parameter) -> str:
    return option.opts[0].removeprefix("--")


def config_options(command: Command) -> Command:
    """Give a command ``--config`` and ``--save-config``."""

    @click.option(
        "--config",
        cls=Option,
        group=HOW,
        type=click.Path(path_type=Path),
        metavar="FILE",
        is_eager=True,
        expose_value=False,
        callback=_read_config,
        help="Options from a TOML file, such as epochs = 5; what is typed wins.",
    )
    @click.option(
        "--save-config",
        cls=Option,
        group=HOW,
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Write the options of this command there, for --config.",
    )
    @wraps(command)
    def called(save_config: Path | None, **typed: Any) -> Any:
        if save_config is not None:
            _save_config(click.get_current_context(), save_config)
        return command(**typed)

    return called


dry_run_option = click.option(
    "--dry-run",
    cls=Option,
    group=HOW,
    is_flag=True,
    help="Print what is cached, what would be computed, and a rough time.",
)


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=example(
        "robench run --methods clae,rocl --attacks pgd,autoattack",
        "robench compare rocl clae",
        "robench ls methods",
    ),
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


@cli.command(
    epilog=example(
        "robench run --methods clae,rocl --attacks pgd,autoattack",
        'robench run --methods "rocl(steps=5),clae" --preset cifar-small --workers 2',
    )
)
@config_options
@options(*OPTIONS)
@dry_run_option
def run(request: Request, places: Places, dry_run: bool) -> int:
    """Answer a grid: pretrain, probe, attack, and write tables and plots.

    What is typed wins over the preset, the preset over a method's own schedule.
    """
    from robench import api
    from robench.engine import ranks
    from robench.engine.work import keep_freed_memory

    if dry_run:
        for line in api.dry_run(request=request, places=places, warn=_note):
            _say(line)
        return 0
    keep_freed_memory()
    if places.devices > 1 and not ranks.launched():
        ranks.launch(places.devices)
    if ranks.launched():
        places = replace(places, device=ranks.join(places.device))
        if not ranks.is_first():
            api.train_along(request=request, places=places)
            return 0
    start = time.monotonic()
    with _display() as told:
        results = api.run(request=request, places=places, **told)
    return _shown(results, time.monotonic() - start, request.preset, places)


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


def _shown(results: "Results", seconds: float, preset: str, places: Places) -> int:
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
        _say(f"files: {results.out}/ has table.md, table.tex, results.csv, figures and cells")
        _say(f"next:  {shlex.join(_next(results, preset, places))}")
    return code


def _next(results: "Results", preset: str, places: Places) -> list[str]:
    """The command to go on with: a comparison of the last two methods, or an audit of the only."""
    methods = list(dict.fromkeys(one.labels.method for one in results))
    if len(methods) < 2:
        from robench.grid.questions import key

        return ["robench", "audit", key(results[0].cell.evaluation.probing.source)]
    names = [name.partition("(")[0] for name in methods]
    plain = {full: name for full, name in zip(methods, names, strict=True) if names.count(name) < 2}
    words = ["robench", "compare", *(plain.get(one, one) for one in methods[:-3:-1])]
    words += [] if preset == "quick" else ["--preset", preset]
    words += [] if places.out is None else ["--out", str(places.out)]
    return words + [word for file in places.plugins for word in ("--plugin", str(file))]


@cli.command(epilog=example("robench reproduce rocl-transfer --data data"))
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
    from robench.reproduction import text

    places = replace(places, out=places.out or Path(f"results/reproduce/{table}-{scale}"))
    if dry_run:
        for line in api.dry_run_of(table, scale, request=request, places=places, warn=_note):
            _say(line)
        return 0
    keep_freed_memory()
    with _display() as told:
        made = api.reproduce(table, scale, request=request, places=places, **told)
    click.echo(f"\n{text(made)}")
    _say(f"This table, as CSV too, and cells: {places.out}")
    return _failed(made.failures)


@cli.command(
    "ls",
    epilog=example(
        "robench ls methods",
        "robench ls methods rocl",
        "robench ls published rocl cifar10 clean",
    ),
)
@click.argument("kind", required=False)
@click.argument("words", metavar="[WORDS]...", nargs=-1)
@options("out", "zoo", "plugins")
def list_(kind: str | None, words: tuple[str, ...], places: Places) -> None:
    """List components, presets, results, encoders, or published values.

    KIND is methods, attacks, datasets, encoders, probes, metrics, presets, results, zoo or
    published; without it, the kinds are listed. WORDS are names of components, whose arguments are
    shown, or choose among the published values.
    """
    from robench.engine import listing

    if kind is None:
        click.echo(listing.kinds())
        return
    if kind.lower() not in LISTS:
        raise click.UsageError(f"cannot list '{kind}'; {nearest(kind, LISTS)}")
    kind = kind.lower()
    if kind == "published":
        from robench.report.published import listing as published
        from robench.report.published import values

        click.echo("\n".join(published(values(), words)))
        return
    if words and kind not in COMPONENTS[:-1]:
        raise click.UsageError(f"unexpected '{words[0]}'; robench ls {kind} takes no names")
    from robench.catalog.catalog import Catalog

    catalog = Catalog(places.plugins)
    if kind == "results":
        for line in listing.results(places, catalog, _note):
            _say(line)
    elif words:
        for word in words:
            _say("\n".join(listing.details(kind, word, catalog)))
    else:
        shown = (
            listing.zoo(places, catalog, _note)
            if kind == "zoo"
            else listing.components(kind, catalog)
        )
        click.echo(shown)


@cli.command(epilog=example("robench new method my_method", "robench new attack my_attack"))
@click.argument("kind")
@click.argument("name")
def new(kind: str, name: str) -> None:
    """Write a commented file that runs, to begin a component of your own with: NAME.py.

    KIND is method, attack, probe, encoder, dataset or metric.
    """
    from robench.templates import begin

    begun = begin(kind.lower(), name, Path())
    _say(f"{begun.path}: a {kind.lower()} that runs as it is. Next:")
    _say(f"  robench check {begun.path}")
    _say(f"  {begun.command}")


@cli.command(epilog=example("robench check my_method.py"))
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("spec", required=False)
@options("data", "plugins")
def check(file: Path, spec: str | None, places: Places) -> int:
    """Try the contract of the component in FILE on toys: what is wrong, in words.

    SPEC gives it arguments, such as "my_method(temperature=0.1)". Its code is run: check files that
    you trust. Exits with 0 where every promise is kept, and 1 where one is broken.
    """
    from robench.catalog.catalog import Catalog
    from robench.catalog.typed import spec as one
    from robench.checks import check

    catalog = Catalog((file, *places.plugins))
    kind, name = catalog.owner(str(file.absolute())) or ("", "")
    typed = catalog.named(kind, one(kind, spec or name))
    if typed.name != name:
        raise click.UsageError(f"{file} holds {name}, not {typed.name}")
    faults = 0
    _say(f"{file}: the {kind[:-1]} {name}")
    for found in check(catalog, kind, typed, places.root):
        faults += bool(found.fault)
        _say(f"  {'WRONG' if found.fault else 'ok   '}  {found.promise}")
        if found.fault:
            _say(f"         {found.fault}")
    broken = "1 promise is broken" if faults == 1 else f"{faults} promises are broken"
    _say(broken if faults else "every promise is kept")
    return 1 if faults else 0


@cli.group(cls=Commands, invoke_without_command=True)
@click.pass_context
def presets(context: click.Context) -> None:
    """List presets, or show what one runs and where its settings come from."""
    if context.invoked_subcommand is None:
        context.invoke(list_, kind="presets", words=())


@presets.command(epilog=example("robench presets show paper/rocl"))
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


@cli.command(epilog=example("robench report --preset cifar-small"))
@options(*STORED)
def report(request: Request, places: Places) -> int:
    """Show the table of the stored cells, and write tables and plots again; nothing is computed."""
    from robench import api
    from robench.report.render import shown

    written = api.report(request=request, places=places, say=_note)
    click.echo(f"{shown(written.table)}")
    for path in written.paths:
        _say(str(path))
    return _failed(written.failures)


@cli.command(
    epilog=example(
        "robench compare rocl clae", "robench compare rocl simclr --worst-case pgd,autoattack"
    )
)
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


@cli.command(epilog=example("robench race rocl clae --attacks pgd"))
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


@cli.command("worst-case", epilog=example("robench worst-case pgd,autoattack --preset cifar-small"))
@click.argument("attacks")
@options(*STORED)
def worst_case(attacks: str, request: Request, places: Places) -> None:
    """Show the table with the worst case over ATTACKS, such as pgd,autoattack, image by image."""
    from robench import api
    from robench.report.render import shown

    table = api.worst_case(attacks, request=request, places=places, say=_note)
    click.echo(shown(table), nl=False)


@cli.command()
@options(*STORED)
def corruptions(request: Request, places: Places) -> None:
    """Show the mean accuracy under common corruptions, for each severity."""
    from robench import api
    from robench.report.render import shown

    click.echo(shown(api.corruptions(request=request, places=places, say=_note)), nl=False)


@cli.command()
@options(*STORED)
def members(request: Request, places: Places) -> None:
    """Show what each attack of AutoAttack took that those before it had left."""
    from robench import api
    from robench.report.render import shown

    click.echo(shown(api.members(request=request, places=places, say=_note)), nl=False)


@cli.group(cls=Commands, invoke_without_command=True)
@click.pass_context
def data(context: click.Context) -> None:
    """Get data sets."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@data.command(epilog=example("robench data fetch cifar10 --data data"))
@click.argument("name")
@options("data")
def fetch(name: str, places: Places) -> None:
    """Download and unpack cifar10 or cifar100; a download that broke off resumes."""
    from robench.data.cifar import fetch
    from robench.engine.progress import bar

    _say(f"{fetch(name, places.root, bar)}: complete, checksums as published")


@cli.command(epilog=example("robench evaluate net.pt --normalize cifar10 --data cifar10"))
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
    return _shown(results, time.monotonic() - start, settings["preset"], places)


@cli.command(epilog=example("robench audit $(ls zoo | head -1)"))
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


@cli.command(epilog=example("robench measure $(ls zoo | head -1)"))
@click.argument("key")
@click.option("--target", help="The data set to measure on.  [default: the encoder's own]")
@options("limit", "eps", "zoo", "data", "device", "plugins", "debug")
def measure(key: str, target: str | None, request: Request, places: Places) -> None:
    """Measure the features of the encoder KEY of the zoo, clean and under a label-free attack.

    Alignment, uniformity, RankMe, intrinsic dimension, Cluster Learnability and retrieval, on 1,000
    test images and at 8/255 if nothing else is typed.
    """
    from robench import api

    _say(f"{'':31} {'clean':>8} {'attacked':>8}")
    with _display() as told:
        found = api.measure(key, target=target, request=request, places=places, **told)
        for name, clean, attacked in found:
            after = "" if attacked != attacked else f"{attacked:8.3f}"
            told["say"](f"{name:31} {clean:8.3f} {after}".rstrip())


@cli.command(epilog=example("robench adapt $(ls zoo | head -1)"))
@click.argument("key")
@click.option("--target", help="The data set to probe and corrupt.  [default: the encoder's own]")
@click.option("--probe", default="linear", show_default=True, help="The classifier on features.")
@options("limit", "zoo", "data", "device", "plugins", "debug")
def adapt(key: str, target: str | None, probe: str, request: Request, places: Places) -> None:
    """Show accuracies under corruptions where the encoder KEY adapts to the test images, or not.

    The mean over 15 corruptions for each severity; on 1,000 images if nothing else is typed.
    """
    from robench import api

    with _display() as told:
        found = api.adapt(key, target=target, probe=probe, request=request, places=places, **told)
        for way, severity, accuracy in found:
            told["say"](f"severity {severity}  {way:9} {100 * accuracy:5.1f}%")


@cli.command(epilog=example("robench doctor"))
@options("data")
def doctor(places: Places) -> None:
    """Show versions, devices and data, and how to get what is missing."""
    from robench.engine.doctor import examine

    for line in examine(places.root):
        _say(line)
