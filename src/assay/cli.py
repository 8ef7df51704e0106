"""The command: five verbs, thin over the same functions that Python users call.

Nothing heavy is imported until a verb runs, so `assay --help` answers at once. A user's mistake ends in one sentence on
standard error and exit code 2.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Chooses training data and tests the choice. Start with: assay select POOL --target FILE --budget 10% --out run/",
)

Paths = Annotated[
    list[str],
    typer.Argument(
        help="files, folders, globs or URLs; or a recipe.toml; or a finished run folder", show_default=False
    ),
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="the run folder to make", show_default=False)]
Target = Annotated[
    list[str] | None, typer.Option(help="examples of what you want; with shares: FILE=30%", show_default=False)
]
Method = Annotated[str | None, typer.Option(help="see assay methods; dsir where there is a target", show_default=False)]
Select = Annotated[
    str | None,
    typer.Option(
        "--select", help="how to choose by score: top_k, gumbel_top_k, threshold, percentile", show_default=False
    ),
]
BudgetOption = Annotated[
    str | None, typer.Option("--budget", "-b", help="5000, 10%, 500MB, 10%bytes or 1e9tokens", show_default=False)
]
Rank = Annotated[
    str | None, typer.Option(help='what to rank by, e.g. "zscore(dsir) + 0.5 * edu_score"', show_default=False)
]
Quota = Annotated[str | None, typer.Option(help='bounds on shares: "source:code>=10%,web<=60%"', show_default=False)]
Where = Annotated[
    list[str] | None, typer.Option(help='keep rows for which this holds: "bytes > 200"', show_default=False)
]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="a hyperparameter: dsir.buckets=65536", show_default=False)
]
TextField = Annotated[str | None, typer.Option(help="the field with the text; dots for nesting", show_default=False)]
IdField = Annotated[str | None, typer.Option(help="the field with the id", show_default=False)]
SourceField = Annotated[str | None, typer.Option(help="the field that names a row's domain", show_default=False)]
Template = Annotated[
    str | None, typer.Option("--text", help='text from several fields: "{instruction}\\n{output}"', show_default=False)
]
ScoreField = Annotated[
    list[str] | None, typer.Option(help="a number that rows carry already: metadata.edu_score", show_default=False)
]
Scores = Annotated[list[str] | None, typer.Option(help="a file of (id, score) made elsewhere", show_default=False)]
Limit = Annotated[int | None, typer.Option(help="look at the first N rows only", min=1, show_default=False)]
MaxLine = Annotated[int | None, typer.Option(help="quarantine longer lines, in bytes", show_default=False)]
WriteRows = Annotated[str | None, typer.Option("--write", help="rows, ids or none", show_default=False)]
Format = Annotated[str | None, typer.Option("--format", help="same, jsonl or parquet", show_default=False)]
Compression = Annotated[str | None, typer.Option(help="same, none, gzip or zstd", show_default=False)]
Tokenizer = Annotated[str | None, typer.Option(help="a tokenizer.json, for budgets in tokens", show_default=False)]
Seed = Annotated[int | None, typer.Option("--seed", help="seed of every draw; 0 unless given", show_default=False)]
Workers = Annotated[
    int | None,
    typer.Option("--workers", "-j", help="processes; all processors unless given", min=1, show_default=False),
]
StoreFolder = Annotated[
    Path | None,
    typer.Option("--store", help="where signals are kept for later runs; OUT/store unless given", show_default=False),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="print the plan, the counts and the time it would take")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="no progress bars")]
RunFolder = Annotated[Path, typer.Argument(help="a finished run folder", show_default=False)]


@app.command()
def select(
    pool: Paths,
    out: Out = None,
    target: Target = None,
    method: Method = None,
    budget: BudgetOption = None,
    select: Select = None,
    rank: Rank = None,
    quota: Quota = None,
    where: Where = None,
    set: Set = None,
    text_field: TextField = None,
    id_field: IdField = None,
    source_field: SourceField = None,
    text: Template = None,
    score_field: ScoreField = None,
    scores: Scores = None,
    limit: Limit = None,
    max_line: MaxLine = None,
    write: WriteRows = None,
    format: Format = None,
    compression: Compression = None,
    tokenizer: Tokenizer = None,
    seed: Seed = None,
    workers: Workers = None,
    store: StoreFolder = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Choose rows from a pool, or decide again on a finished run."""
    names = (
        "target",
        "method",
        "budget",
        "select",
        "rank",
        "quota",
        "where",
        "set",
        "text_field",
        "id_field",
        "source_field",
        "text",
    )
    values = locals()
    flags = {
        name: values[name]
        for name in (*names, "scores", "limit", "max_line", "format", "compression", "tokenizer", "seed")
    }
    flags |= {"score_fields": score_field, "rows": write}
    if workers != 1 and not dry_run:
        from assay.run.local import prestart

        prestart()
        import assay.run.preload  # noqa: F401  the same short cut for this process, which is the command's own
    from assay import commands

    commands.select(
        pool, out, {key: _template(key, value) for key, value in flags.items()}, workers, store, dry_run, quiet
    )


def _template(key: str, value: Any) -> Any:
    """Shells hand over a template's backslash-n as two characters."""
    return value.replace("\\n", "\n") if key == "text" and value else value


Eval = Annotated[
    list[str] | None, typer.Option("--eval", "-e", help="held-out text of what you want", show_default=False)
]
General = Annotated[
    list[str] | None,
    typer.Option(help="held-out text of everything else: what the choice costs in breadth", show_default=False),
]
Against = Annotated[str, typer.Option(help="random, or another run folder")]
Proxy = Annotated[str, typer.Option(help="the model that judges")]
Seeds = Annotated[int, typer.Option(help="random draws to compare with", min=3)]
Decontaminate = Annotated[
    bool,
    typer.Option("--decontaminate", help="drop rows that overlap the eval set from every arm, instead of refusing"),
]


@app.command()
def verify(
    run: RunFolder,
    eval: Eval = None,
    general: General = None,
    against: Against = "random",
    proxy: Proxy = "ngram",
    seeds: Seeds = 5,
    decontaminate: Decontaminate = False,
    workers: Workers = None,
    quiet: Quiet = False,
) -> None:
    """Test a choice against random at equal cost, on held-out text."""
    from assay import commands

    commands.verify(run, eval or [], general or [], against, proxy, seeds, decontaminate, workers, quiet)


@app.command()
def report(run: RunFolder, quiet: Quiet = False) -> None:
    """Print a summary of a run and write its report.html."""
    from assay import commands

    commands.report(run, quiet)


@app.command()
def why(run: RunFolder, row: Annotated[str, typer.Argument(help="a row number, or an id", show_default=False)]) -> None:
    """Explain why a row is in or out."""
    from assay import commands

    commands.why(run, row)


@app.command()
def methods(name: Annotated[str | None, typer.Argument(help="one method, in full", show_default=False)] = None) -> None:
    """List the methods, or describe one."""
    from assay import commands

    commands.methods(name)


def _version(wanted: bool) -> None:
    if wanted:
        from assay import __version__

        typer.echo(f"assay {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Hold what belongs to every verb."""


def main() -> None:
    """Run the command; mistakes of the user's end in a sentence, not in a trace."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a terminal that is not UTF-8 shows ? for ×, and goes on
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except (KeyboardInterrupt, typer.Abort):
        _stop("stopped; run the same command again to go on where it was", 130)
    except OSError as error:
        _stop(f"{error.filename or 'the system'}: {error.strerror or error}", 2)
    except Exception as error:
        from assay.errors import AssayError

        if hasattr(error, "format_message"):
            _stop(
                _slip(error), 2
            )  # the help that answers a command without arguments was shown already, and says nothing more
        if not isinstance(error, AssayError):
            raise
        _stop(str(error), 2)


def _slip(error: Any) -> str:
    """What the parser of the command line has to say, as one sentence, with the nearest option."""
    from assay.errors import suggest

    context, words = error.ctx, " ".join(error.format_message().split())
    if not words:
        return ""
    if hasattr(error, "possibilities") and context is not None:
        options = [name for parameter in context.command.params for name in parameter.opts if name.startswith("--")]
        words = f"there is no option {error.option_name!r}; {suggest(error.option_name, options)}"
    path = " ".join(["assay", *([context.info_name] if context is not None and context.parent is not None else [])])
    return f"{words[0].lower()}{words[1:].rstrip('.')}; see {path} --help"


def _stop(sentence: str, code: int) -> None:
    if sentence:
        typer.echo(f"assay: {sentence}", err=True)
    sys.exit(code)
