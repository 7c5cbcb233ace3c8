"""The command line.

Everything heavy is imported inside the commands, so that ``--help`` answers at once.
"""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import click

from robench.grid.spec import SpecError, nearest

Command = TypeVar("Command", bound=Callable[..., Any])

LISTS = (
    "methods",
    "attacks",
    "datasets",
    "encoders",
    "probes",
    "metrics",
    "presets",
    "published",
    "results",
)


class Terminated(BaseException):
    """The process was asked to end; nothing but `main` may stop this."""


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
    except Exception as error:
        if not _is_input(error):
            raise
        code = _complain(str(error))
    sys.exit(code if isinstance(code, int) else 0)


def _is_input(error: Exception) -> bool:
    # By name, so that a mistyped option needs no heavy import to be told of.
    return type(error).__name__ in ("SpecError", "DataError", "StoreError")


def _complain(message: str, code: int = 2) -> int:
    _note(" ".join(message.split()))
    return code


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


class Commands(click.Group):
    """Commands that know what a mistyped name may have meant."""

    def resolve_command(self, context: click.Context, arguments: list[str]) -> Any:
        """The command that the first argument names."""
        known = self.list_commands(context)
        if arguments[0] not in known and not arguments[0].startswith("-"):
            raise click.UsageError(f"no command '{arguments[0]}'; {nearest(arguments[0], known)}")
        return super().resolve_command(context, arguments)


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
    covers the transfer between data sets, and writes tables and plots. What is already answered is
    never computed again.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def grid_options(command: Command) -> Command:
    """The options that say which grid to run."""
    options = [
        click.option(
            "--preset",
            default="quick",
            show_default=True,
            help="Where defaults come from; see `robench ls presets`.",
        ),
        click.option("--methods", help='Objectives, such as plain,clae,"rocl(steps=10)".'),
        click.option(
            "--attacks", help="Attacks, such as pgd,autoattack; clean accuracy is always a column."
        ),
        click.option("--sources", help="Data sets to pretrain on."),
        click.option(
            "--targets",
            help="Data sets to probe and attack on; others than the source are transfers.",
        ),
        click.option("--encoders", help='Architectures, such as resnet18 or "resnet8(width=32)".'),
        click.option("--probes", help="Classifiers on frozen features, such as linear,linear-sgd."),
        click.option("--seeds", help="Seeds of the pretraining, such as 0,1,2."),
        click.option("--norm", "norms", help="Norms of the attacks: linf, l2, l1."),
        click.option("--eps", help="Radii in pixels of [0, 1], such as 8/255,4/255; exact."),
        click.option(
            "--limit", type=int, metavar="N", help="Evaluate N test images (a fixed random choice)."
        ),
        click.option(
            "--epochs", type=int, metavar="N", help="Pretrain for N epochs instead of the preset's."
        ),
        click.option("--precision", help="Precision of the pretraining: fp32 or bf16."),
        click.option(
            "--images", type=int, metavar="N", help="Train on N images instead of the preset's."
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def plugin_option(command: Command) -> Command:
    """The option that adds components from files."""
    return click.option(
        "--plugin",
        "plugins",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="A Python file with one component of your own. Its code is run: use files you trust.",
    )(command)


def place_options(command: Command) -> Command:
    """The options that say where things are."""
    path = click.Path(path_type=Path)
    options = [
        click.option("--out", type=path, help="Results folder.  [default: results/PRESET]"),
        zoo_option,
    ]
    for option in reversed(options):
        command = option(command)
    return command


def zoo_option(command: Command) -> Command:
    """The option that says where encoders lie."""
    return click.option(
        "--zoo",
        type=click.Path(path_type=Path),
        default=Path("zoo"),
        show_default=True,
        help="Folder of encoders.",
    )(command)


def device_option(command: Command) -> Command:
    """The option that says where to compute."""
    return click.option(
        "--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."
    )(command)


def dry_run_option(command: Command) -> Command:
    """The option to look before one leaps."""
    return click.option(
        "--dry-run",
        is_flag=True,
        help="Print what is cached, what would be computed, and a rough time.",
    )(command)


def data_option(command: Command) -> Command:
    """The option that says where data sets lie."""
    return click.option(
        "--data",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Folder of data sets.  [default: $ROBENCH_DATA or data]",
    )(command)


@cli.command()
@grid_options
@place_options
@data_option
@plugin_option
@device_option
@dry_run_option
def run(
    preset: str,
    methods: str | None,
    attacks: str | None,
    sources: str | None,
    targets: str | None,
    encoders: str | None,
    probes: str | None,
    seeds: str | None,
    norms: str | None,
    eps: str | None,
    limit: int | None,
    epochs: int | None,
    images: int | None,
    precision: str | None,
    out: Path | None,
    zoo: Path,
    data: Path | None,
    plugins: tuple[Path, ...],
    device: str,
    dry_run: bool,
) -> int:
    """Answer a grid: pretrain, probe, attack, and write tables and plots."""
    from robench import api
    from robench.catalog.catalog import Catalog
    from robench.catalog.plan import Request, plan
    from robench.engine.bench import Bench
    from robench.engine.progress import bar

    request = Request(
        preset=preset,
        methods=api.specs(methods),
        attacks=api.specs(attacks),
        sources=api.specs(sources),
        targets=api.specs(targets),
        encoders=api.specs(encoders),
        probes=api.specs(probes),
        seeds=_seeds(seeds),
        norms=api.words(norms),
        eps=api.words(eps),
        limit=limit,
        epochs=epochs,
        images=images,
        precision=precision,
    )
    catalog = Catalog(plugins)
    evaluations = plan(request, catalog)
    store = api.open_store(preset, out, zoo, _note)
    bench = Bench(catalog, store, api.data_root(data), api.find_device(device), bar, click.echo)
    if dry_run:
        from robench.engine.estimate import estimate

        for line in estimate(bench, evaluations):
            click.echo(line)
        return 0
    results = api.answer(bench, evaluations)
    if results:
        click.echo(f"\n{(results.out / 'table.md').read_text(encoding='utf-8')}")
        click.echo(f"Tables, figures and cells: {results.out}")
    if results.failures:
        for failure in results.failures:
            _note(f"failed: {failure}")
        _note(f"{len(evaluations) - len(results)} of {len(evaluations)} cells are missing")
    return 1 if results.failures else 0


@cli.command()
@click.argument("table")
@click.option(
    "--scale",
    default="cpu-hour",
    show_default=True,
    help="full, the paper's settings; or gpu-hour or cpu-hour, which claim nothing about them.",
)
@click.option("--seeds", help="Seeds of the pretraining, such as 0,1,2.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Results folder.  [default: results/reproduce/TABLE-SCALE]",
)
@zoo_option
@data_option
@plugin_option
@device_option
@dry_run_option
def reproduce(
    table: str,
    scale: str,
    seeds: str | None,
    out: Path | None,
    zoo: Path,
    data: Path | None,
    plugins: tuple[Path, ...],
    device: str,
    dry_run: bool,
) -> int:
    """Run a published table again, and print its values beside the measured ones.

    TABLE is rocl-table1, rocl-transfer or clae-table2.
    """
    from robench import api
    from robench.catalog.catalog import Catalog
    from robench.engine.bench import Bench
    from robench.engine.progress import bar
    from robench.store.store import Store

    catalog = Catalog(plugins)
    asked = api.reproduction_task(table, scale, _seeds(seeds), catalog)
    store = Store(api.reproduction_folder(asked, out), zoo, _note)
    bench = Bench(catalog, store, api.data_root(data), api.find_device(device), bar, click.echo)
    if dry_run:
        from robench.reproduction.run import dry_run as planned

        for line in planned(asked, bench):
            click.echo(line)
        return 0
    from robench.reproduction.text import markdown

    made = api.reproduced(asked, bench)
    click.echo(f"\n{markdown(made)}\nThis table, as CSV too, and cells: {store.out}")
    for failure in made.failures:
        _note(f"failed: {failure}")
    return 1 if made.failures else 0


@cli.command("ls")
@click.argument("kind", metavar="|".join(LISTS))
@click.argument("words", nargs=-1)
@place_options
@plugin_option
def list_(
    kind: str, words: tuple[str, ...], out: Path | None, zoo: Path, plugins: tuple[Path, ...]
) -> None:
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
    if kind == "results":
        _list_results(out, zoo)
        return
    from robench.catalog.catalog import Catalog

    catalog = Catalog(plugins)
    for name in catalog.names(kind):
        click.echo(f"{name:14} {catalog.summary(kind, name)}")
        signature = catalog.signature(kind, name)
        if signature:
            click.echo(f"{'':14} {signature}")
        for variant in catalog.variants(kind, name):
            click.echo(f"{'':14} {variant}")


def _list_results(out: Path | None, zoo: Path) -> None:
    from robench.store.store import Store
    from robench.trust.review import review

    if out and not (out / "cells").is_dir():
        raise SpecError(f"no results in {out}; `robench run --out {out}` makes some")
    folders = [out] if out else sorted(path.parent for path in Path("results").glob("**/cells"))
    if not folders:
        click.echo("no results yet; `robench run` makes some")
    for folder in folders:
        results = review(Store(folder, zoo, _note).results())
        for result in results:
            cell, labels = result.cell, result.cell.labels
            attack = " ".join(word for word in (labels.attack, cell.norm, cell.eps) if word)
            flags = f", flagged {'; '.join(cell.flags)}" if cell.flags else ""
            click.echo(
                f"{100 * cell.correct / cell.n:5.1f}%  {labels.method} {labels.source} -> "
                f"{labels.target}, {attack}, seed {cell.seed}, n {cell.n}{flags}  {cell.key}"
            )
        click.echo(f"{folder}: {len(results)} cells")


@cli.group(cls=Commands, invoke_without_command=True)
@click.pass_context
def presets(context: click.Context) -> None:
    """List presets, or show what one runs and where its settings come from."""
    if context.invoked_subcommand is None:
        _list_presets()


@presets.command("list")
def list_presets() -> None:
    """List the presets."""
    _list_presets()


def _list_presets() -> None:
    from robench.catalog.catalog import Catalog

    catalog = Catalog()
    names = catalog.names("presets")
    for name in names:
        click.echo(f"{name:{max(map(len, names))}}  {catalog.summary('presets', name)}")


@presets.command()
@click.argument("name")
@click.option("--json", "structured", is_flag=True, help="One JSON object, for programs.")
def show(name: str, structured: bool) -> None:
    """Show all that the preset NAME sets: its sources, and where it parts from paper and code."""
    from robench.catalog.catalog import Catalog
    from robench.report.preset import as_json, as_text, shown

    preset = shown(name, Catalog())
    click.echo(as_json(preset) if structured else as_text(preset), nl=structured)


@cli.command()
@place_options
@plugin_option
@click.option("--preset", default="quick", show_default=True, help="Whose folder, without --out.")
def report(out: Path | None, zoo: Path, plugins: tuple[Path, ...], preset: str) -> None:
    """Write tables and plots again from the stored cells; nothing is computed."""
    from robench import api
    from robench.catalog.catalog import Catalog

    catalog = Catalog(plugins)
    catalog.preset(preset)
    for path in api.report(api.open_store(preset, out, zoo, _note), catalog, _note):
        click.echo(str(path))


@cli.command()
@click.argument("method_a")
@click.argument("method_b")
@place_options
@plugin_option
@click.option("--preset", default="quick", show_default=True, help="Whose folder, without --out.")
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
    out: Path | None,
    zoo: Path,
    plugins: tuple[Path, ...],
    preset: str,
    attacks: str | None,
    file: Path | None,
) -> None:
    """Compare two methods image by image: difference, interval and p; nothing is computed."""
    from robench import api
    from robench.catalog.catalog import Catalog
    from robench.report import compare as comparing
    from robench.report.render import frame_csv, terminal, terminal_width

    catalog = Catalog(plugins)
    catalog.preset(preset)
    store = api.open_store(preset, out, zoo, _note)
    comparison = api.compare(method_a, method_b, store, catalog, _note, attacks)
    if file is not None:
        api.write_text(file, frame_csv(comparing.frame(comparison)))
    click.echo(terminal(comparing.table(comparison), terminal_width()), nl=False)


@cli.command("worst-case")
@click.argument("attacks")
@place_options
@plugin_option
@click.option("--preset", default="quick", show_default=True, help="Whose folder, without --out.")
def worst_case(
    attacks: str, out: Path | None, zoo: Path, plugins: tuple[Path, ...], preset: str
) -> None:
    """Show the table with the worst case over ATTACKS, such as pgd,autoattack, image by image."""
    from robench import api
    from robench.catalog.catalog import Catalog
    from robench.report.render import terminal, terminal_width

    catalog = Catalog(plugins)
    catalog.preset(preset)
    store = api.open_store(preset, out, zoo, _note)
    click.echo(terminal(api.worst_case(attacks, store, catalog, _note), terminal_width()), nl=False)


@cli.group(cls=Commands, invoke_without_command=True)
@click.pass_context
def data(context: click.Context) -> None:
    """Get and check data sets."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@data.command()
@click.argument("name")
@data_option
def fetch(name: str, data: Path | None) -> None:
    """Download cifar10 or cifar100: checksum, mirrors, resumes where it broke off."""
    from robench import api
    from robench.data.cifar import fetch
    from robench.engine.progress import bar

    click.echo(f"{fetch(name, api.data_root(data), bar)}: complete, checksum as published")


@data.command()
@click.argument("names", nargs=-1)
@data_option
def verify(names: tuple[str, ...], data: Path | None) -> int:
    """Check the files of cifar10 and cifar100, and decode every image."""
    from robench import api
    from robench.data.cifar import verify
    from robench.engine.progress import bar

    whole = True
    for name in names or ("cifar10", "cifar100"):
        found, line = verify(name, api.data_root(data), bar)
        whole &= found
        click.echo(f"{'ok ' if found else 'BAD'} {line}")
    return 0 if whole else 2


@cli.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--encoder", required=True, help="The architecture, such as resnet18.")
@click.option("--data", required=True, help="The data set, by name, such as cifar10.")
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of data sets, which is --data elsewhere.  [default: $ROBENCH_DATA or data]",
)
@click.option("--attacks", help="Attacks, such as pgd,autoattack; clean accuracy is always a row.")
@click.option("--norm", "norms", help="Norms of the attacks: linf, l2, l1.")
@click.option("--eps", help="Radii in pixels of [0, 1], such as 8/255,4/255; exact.")
@click.option("--limit", type=int, metavar="N", help="Evaluate N test images.")
@click.option("--head", default="probe", show_default=True, help="Fit a probe, or attack its own.")
@click.option("--probe", help="The classifier on frozen features.  [default: linear]")
@click.option("--bn", help="Of two BatchNorm branches: clean or adversarial.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("results/evaluate"), show_default=True
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@plugin_option
def evaluate(
    checkpoint: Path,
    encoder: str,
    data: str,
    root: Path | None,
    attacks: str | None,
    norms: str | None,
    eps: str | None,
    limit: int | None,
    head: str,
    probe: str | None,
    bn: str | None,
    out: Path,
    device: str,
    plugins: tuple[Path, ...],
) -> int:
    """Attack somebody else's model: a checkpoint in safetensors, or as torch.save writes it.

    No code in the file is run. Known by their names are the weights of RoCL, CLAE, ACL, AdvCL,
    DynACL, solo-learn, lightly, torchvision's and pytorch-cifar's residual networks.
    """
    from robench import api
    from robench.catalog.catalog import Catalog
    from robench.engine.guest import Asked, evaluate_checkpoint
    from robench.engine.progress import bar
    from robench.grid.spec import parse

    asked = Asked(
        encoder=parse(encoder),
        dataset=parse(data),
        attacks=api.specs(attacks),
        norms=api.words(norms),
        eps=api.words(eps),
        limit=limit,
        probe=None if probe is None else parse(probe),
        branch=bn,
        head=head,
    )
    where = api.find_device(device)
    report = evaluate_checkpoint(
        checkpoint, asked, Catalog(plugins), api.data_root(root), out, where, bar, click.echo
    )
    if report.rows:
        click.echo(f"\n{report.table}\n\nAccuracies and per-image outcomes: {report.folder}")
    for failure in report.failures:
        _note(f"failed: {failure}")
    return 1 if report.failures else 0


@cli.command()
@click.argument("key")
@click.option(
    "--zoo",
    type=click.Path(path_type=Path),
    default=Path("zoo"),
    show_default=True,
    help="Folder of encoders.",
)
@data_option
@click.option("--target", help="The data set to probe and attack on.  [default: the encoder's own]")
@click.option("--probe", default="linear", show_default=True, help="The classifier on features.")
@click.option("--limit", type=int, default=200, show_default=True, metavar="N", help="Test images.")
@click.option("--eps", default="8/255", show_default=True, help="A radius in linf, in [0, 1].")
@click.option("--no-autoattack", is_flag=True, help="Skip what takes longest.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@plugin_option
def audit(
    key: str,
    zoo: Path,
    data: Path | None,
    target: str | None,
    probe: str,
    limit: int,
    eps: str,
    no_autoattack: bool,
    device: str,
    plugins: tuple[Path, ...],
) -> int:
    """Try every check on the encoder KEY of the zoo: a line each, and a verdict.

    KEY is the name of its folder. Exits with 0 where nothing was found, and 1 where something was.
    """
    from robench import api
    from robench.catalog.catalog import Catalog
    from robench.engine.audit.findings import Verdict, summary
    from robench.engine.bench import Bench
    from robench.engine.progress import bar
    from robench.store.store import Store

    store = Store(Path("results"), zoo, _note)
    where = api.find_device(device)
    bench = Bench(Catalog(plugins), store, api.data_root(data), where, bar, click.echo)
    checks = api.audit(
        key, bench, target=target, probe=probe, limit=limit, eps=eps, autoattack=not no_autoattack
    )
    click.echo(f"{key}: probe {probe}, {limit} test images, linf, eps {eps}")
    findings = []
    for finding in checks:
        findings.append(finding)
        click.echo(str(finding))
    click.echo(summary(findings))
    return 0 if all(finding.verdict is Verdict.OK for finding in findings) else 1


@cli.command()
@data_option
def doctor(data: Path | None) -> None:
    """Show versions, devices and data, and how to get what is missing."""
    from robench import api
    from robench.engine.doctor import examine

    for line in examine(api.data_root(data)):
        click.echo(line)


def _seeds(text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    try:
        seeds = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        seeds = ()
    if not seeds or min(seeds) < 0:
        raise SpecError(f"--seeds '{text}' cannot be read; write whole numbers such as 0,1,2")
    return seeds


def _note(line: str) -> None:
    # Messages quote files, and a terminal would obey the codes in them.
    shown = "".join(c if c.isprintable() else "?" for c in line)
    click.echo(f"robench: {shown}", err=True)


if __name__ == "__main__":
    main()
