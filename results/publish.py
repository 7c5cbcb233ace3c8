"""Copy a finished run into results/ and zoo/, to be tracked by git.

Cells are copied without their example images: those belong to the data set. Usage::

    python results/publish.py OUT ZOO results/NAME --command "robench run ..."
    robench report --out results/NAME
"""

import json
from pathlib import Path
from shutil import copytree, ignore_patterns

import click

from robench.grid.questions import key
from robench.store.store import PUBLISHED, Store


@click.command()
@click.argument("out", type=click.Path(path_type=Path, exists=True))
@click.argument("zoo", type=click.Path(path_type=Path, exists=True))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--command", required=True, help="What computed the run.")
@click.option("--into", type=click.Path(path_type=Path), default=Path("zoo"), help="The zoo here.")
def publish(out: Path, zoo: Path, folder: Path, command: str, into: Path) -> None:
    """Copy the cells of OUT, and the encoders and probes of ZOO that they are of, to FOLDER."""
    store, published = Store(out, zoo, click.echo), Store(folder, into, click.echo)
    published.prepare()
    commits, finished, sources = set(), "", set()
    for result in store.results():
        published.save_result(result.cell, result.outcome, None)
        commits.add(result.cell.provenance.commit)
        finished = max(finished, result.cell.provenance.finished)
        sources.add(key(result.cell.evaluation.probing.source))
    for name in sorted(sources):
        copytree(zoo / name, into / name, ignore=ignore_patterns(".*"), dirs_exist_ok=True)
    about = {"command": command, "finished": finished[:10], "commits": sorted(commits)}
    (folder / PUBLISHED).write_text(json.dumps(about, indent=1) + "\n")
    click.echo(f"{len(list(published.results()))} cells, {len(sources)} encoders")


if __name__ == "__main__":
    publish()
