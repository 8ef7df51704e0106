"""The command: a few verbs, thin over the same functions that Python users call.

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
RecipeName = Annotated[
    str | None,
    typer.Option("--recipe", help="fineweb, c4, gopher, ccnet, dclm-like, or a .toml file", show_default=False),
]
Model = Annotated[
    list[str] | None,
    typer.Option("--model", help="a file that the recipe leaves open: language=lid.176.ftz", show_default=False),
]
EvalItems = Annotated[
    list[str] | None,
    typer.Option("--eval", "-e", help="drop rows that contain items of this eval set", show_default=False),
]
Dedup = Annotated[
    list[str] | None, typer.Option(help="exact, minhash, lines, paragraphs or substring", show_default=False)
]
Keep = Annotated[str | None, typer.Option(help="which copy stays: longest, first or best:SIGNAL", show_default=False)]
Good = Annotated[list[str] | None, typer.Option(help="good text: learn a quality score from it", show_default=False)]
Bad = Annotated[
    list[str] | None, typer.Option(help="bad text beside --good; the pool unless given", show_default=False)
]
Top = Annotated[str | None, typer.Option(help="keep this share by the quality score: 30%", show_default=False)]
Memory = Annotated[
    str | None, typer.Option(help="how much memory grouping may take; 2GB unless given", show_default=False)
]
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
    recipe: RecipeName = None,
    model: Model = None,
    eval: EvalItems = None,
    dedup: Dedup = None,
    keep: Keep = None,
    good: Good = None,
    bad: Bad = None,
    top: Top = None,
    seed: Seed = None,
    workers: Workers = None,
    memory: Memory = None,
    store: StoreFolder = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Choose rows from a pool, perhaps after cleaning it, or decide again on a finished run."""
    given = _given(locals())
    commands = _commands(workers, dry_run)
    commands.select(pool, out, given, commands.How(workers, store, memory, dry_run, quiet))


@app.command()
def clean(
    pool: Paths,
    out: Out = None,
    recipe: RecipeName = None,
    model: Model = None,
    eval: EvalItems = None,
    dedup: Dedup = None,
    keep: Keep = None,
    good: Good = None,
    bad: Bad = None,
    top: Top = None,
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
    memory: Memory = None,
    store: StoreFolder = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Drop what is bad, doubled or in an eval set, and keep the rest, with a reason for every row."""
    given = _given(locals())
    commands = _commands(workers, dry_run)
    commands.clean(pool, out, given, commands.How(workers, store, memory, dry_run, quiet))


_HOW = ("pool", "out", "workers", "memory", "store", "dry_run", "quiet")


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """The flags of a recipe under the names that recipes have for them."""
    names = {"score_field": "score_fields", "write": "rows"}
    return {names.get(key, key): _template(key, value) for key, value in values.items() if key not in _HOW}


def _commands(workers: int | None, dry_run: bool) -> Any:
    """The module of the verbs; while it is imported, the server that workers are forked from starts too."""
    if workers != 1 and not dry_run:
        from assay.run.local import prestart

        prestart()
        import assay.run.preload  # noqa: F401  the same short cut for this process, which is the command's own
    from assay import commands

    return commands


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
def rate(
    pool: Paths,
    prompt: Annotated[str, typer.Option(help="a file with the question; {text} stands for the row's text")],
    endpoint: Annotated[str, typer.Option(help="of a chat API in OpenAI's form: http://localhost:8000/v1")],
    model: Annotated[str, typer.Option(help="the model's name there")],
    out: Out = None,
    rows: Annotated[int, typer.Option(help="how many rows to ask about, drawn by content", min=1)] = 1000,
    range: Annotated[str, typer.Option(help="the lowest and the highest rating")] = "0..5",
    pattern: Annotated[
        str | None, typer.Option(help="where the rating stands in a reply, as a regular expression", show_default=False)
    ] = None,
    characters: Annotated[int, typer.Option(help="how much of a text to show")] = 12_000,
    max_tokens: Annotated[int, typer.Option(help="the longest reply")] = 256,
    temperature: Annotated[float, typer.Option()] = 0.0,
    key_variable: Annotated[
        str | None, typer.Option(help="the environment variable that holds the API key", show_default=False)
    ] = None,
    concurrency: Annotated[int, typer.Option(help="questions under way at once")] = 8,
    retries: Annotated[int, typer.Option(help="tries after a refusal or a silence")] = 6,
    timeout: Annotated[float, typer.Option(help="seconds to wait for a reply")] = 120.0,
    price_in: Annotated[float | None, typer.Option(help="of a million tokens of input", show_default=False)] = None,
    price_out: Annotated[float | None, typer.Option(help="of a million tokens of output", show_default=False)] = None,
    max_cost: Annotated[float | None, typer.Option(help="ask if it costs no more", show_default=False)] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="ask whatever it costs")] = False,
    text_field: TextField = None,
    id_field: IdField = None,
    text: Template = None,
    limit: Limit = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the cost and ask nothing")] = False,
    quiet: Quiet = False,
) -> None:
    """Ask a language model to rate some rows, for distill_ratings to learn from."""
    from assay import commands

    low, high = commands.span(range)
    asked = {
        "prompt": prompt, "endpoint": endpoint, "model": model, "rows": rows, "low": low, "high": high, "pattern": pattern,
        "characters": characters, "max_tokens": max_tokens, "temperature": temperature, "key_variable": key_variable,
        "concurrency": concurrency, "retries": retries, "timeout": timeout, "price_in": price_in, "price_out": price_out,
        "max_cost": max_cost, "yes": yes, "dry_run": dry_run,
    }  # fmt: skip
    read = {"text_field": text_field, "id_field": id_field, "text": _template("text", text), "limit": limit}
    commands.rate(pool, out, asked, read, quiet)


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
