"""The command: a few verbs, thin over the same functions that Python users call.

Nothing heavy is imported until a verb runs, so `assay --help` answers at once. A user's mistake ends in one sentence on
standard error and exit code 2.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from assay.report.options import (
    Address,
    Against,
    Bad,
    BudgetOption,
    Cache,
    Compression,
    Decontaminate,
    Dedup,
    DryRun,
    EngineName,
    Epochs,
    Eval,
    EvalItems,
    Format,
    General,
    Good,
    IdField,
    Instructions,
    Keep,
    Limit,
    MaxLine,
    Memory,
    Method,
    Model,
    Out,
    Paths,
    Proxy,
    Quiet,
    Quota,
    Rank,
    RecipeName,
    Results,
    Rivals,
    RunFolder,
    ScoreField,
    Scores,
    Seed,
    Seeds,
    Select,
    Set,
    Share,
    Shares,
    SourceField,
    StoreFolder,
    Sweep,
    Target,
    Tasks,
    Template,
    TextField,
    Tokenizer,
    Top,
    Units,
    Where,
    Workers,
    WriteRows,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Chooses training data and tests the choice. Start with: assay select POOL --target FILE --budget 10% --out run/",
)


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
    general: Share = None,
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
    engine: EngineName = None,
    address: Address = None,
    memory: Memory = None,
    store: StoreFolder = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Choose rows from a pool, perhaps after cleaning it, or decide again on a finished run."""
    given = _given(locals())
    commands = _commands(workers, dry_run or engine == "ray")
    commands.select(pool, out, given, commands.How(workers, store, memory, dry_run, quiet, engine, address))


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
    engine: EngineName = None,
    address: Address = None,
    memory: Memory = None,
    store: StoreFolder = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Drop what is bad, doubled or in an eval set, and keep the rest, with a reason for every row."""
    given = _given(locals())
    commands = _commands(workers, dry_run or engine == "ray")
    commands.clean(pool, out, given, commands.How(workers, store, memory, dry_run, quiet, engine, address))


_HOW = ("pool", "out", "workers", "engine", "address", "memory", "store", "dry_run", "quiet")


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


@app.command()
def verify(
    run: RunFolder,
    eval: Eval = None,
    general: General = None,
    tasks: Tasks = None,
    against: Against = None,
    proxy: Proxy = None,
    rival: Rivals = None,
    seeds: Seeds = None,
    epochs: Epochs = 1,
    units: Units = None,
    instructions: Instructions = False,
    results: Results = None,
    sweep: Sweep = None,
    shares: Shares = None,
    decontaminate: Decontaminate = False,
    cache: Cache = None,
    workers: Workers = None,
    engine: EngineName = None,
    address: Address = None,
    quiet: Quiet = False,
) -> None:
    """Test a choice against random at equal cost, on held-out text."""
    from assay import commands

    asked = {
        "eval": eval, "general": general, "tasks": tasks, "against": against, "proxy": proxy, "rivals": rival,
        "seeds": seeds, "epochs": epochs, "units": units, "instructions": instructions, "decontaminate": decontaminate,
        "cache": cache, "results": results, "sweep": sweep, "shares": [shares] if shares else None,
    }  # fmt: skip
    commands.verify(run, asked, commands.How(workers, engine=engine, address=address).crew(), quiet)


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
def arms(
    run: RunFolder,
    out: Out = None,
    arms: Annotated[list[str] | None, typer.Option(help="choice,random,length,rs2; also curve, cleaned, RUN")] = None,
    seeds: Annotated[int, typer.Option(help="draws of random, and of every arm that is drawn", min=3)] = 3,
    epochs: Epochs = 1,
    units: Annotated[str | None, typer.Option(help="at most so much for each arm: 2e6tokens, 20MB")] = None,
    tokenizer: Tokenizer = None,
    write: Annotated[str, typer.Option(help="manifest (which rows), or rows (copies of them too)")] = "manifest",
    format: Annotated[str, typer.Option(help="of copied rows: jsonl or parquet")] = "jsonl",
    workers: Workers = None,
    engine: EngineName = None,
    address: Address = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Write the choice and its random rivals at equal cost, for a trainer of your own."""
    given = {name: value for name, value in locals().items() if name not in ("run", *_HOW)}
    commands = _commands(workers, dry_run or engine == "ray")
    commands.arms(run, out, given, commands.How(workers, None, None, dry_run, quiet, engine, address))


@app.command()
def mix(
    pool: Annotated[
        list[str] | None,
        typer.Argument(help="files, folders, globs or URLs with the domains' rows", show_default=False),
    ] = None,
    out: Out = None,
    eval: Annotated[
        list[str] | None,
        typer.Option("--eval", "-e", help="held-out text; each is a loss of its own", show_default=False),
    ] = None,
    method: Annotated[str, typer.Option(help="regmix or data_mixing_law")] = "regmix",
    domains: Annotated[str | None, typer.Option(help="the field that names a row's domain", show_default=False)] = None,
    trials: Annotated[
        list[str] | None, typer.Option(help="a table of trials already made: parts and losses", show_default=False)
    ] = None,
    loss: Annotated[list[str] | None, typer.Option(help="which of its losses count", show_default="all")] = None,
    proxy: Annotated[
        str, typer.Option(help="the small model that tries: ngram, lm-nano, a folder or a hub id")
    ] = "ngram",
    tried: Annotated[int, typer.Option(help="mixtures to try", min=1)] = 128,
    units: Annotated[
        str | None,
        typer.Option(help="what each is trained on: 1MB with ngram, 2e6tokens with others", show_default="1MB"),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option("--budget", "-b", help="of the training to come: 1e9tokens, 5GB", show_default="the pool"),
    ] = None,
    epochs_limit: Annotated[float, typer.Option(help="how often that training may read a domain")] = 4.0,
    set: Set = None,
    text_field: TextField = None,
    text: Template = None,
    limit: Limit = None,
    tokenizer: Tokenizer = None,
    decontaminate: Decontaminate = False,
    seed: Seed = None,
    workers: Workers = None,
    engine: EngineName = None,
    address: Address = None,
    quiet: Quiet = False,
) -> None:
    """Try mixtures of a pool's domains on small models, and say which to train on."""
    read = {"text_field": text_field, "text": _template("text", text), "limit": limit}
    asked = {
        "eval": eval, "method": method, "domains": domains, "trials": trials, "loss": loss, "proxy": proxy, "tried": tried,
        "units": units, "budget": budget, "epochs_limit": epochs_limit, "set": set, "tokenizer": tokenizer,
        "decontaminate": decontaminate, "seed": seed,
    }  # fmt: skip
    commands = _commands(workers, False)
    commands.mix(pool or [], out, asked, read, commands.How(workers, quiet=quiet, engine=engine, address=address))


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


@app.command()
def board(
    board: Annotated[Path, typer.Argument(help="a board.toml", show_default=False)],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="the board's folder; an earlier one is gone on with")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="only these cells: method=dsir,length or task=NAME", show_default=False)
    ] = None,
    limit: Annotated[int | None, typer.Option(help="work at most N cells now", min=1, show_default=False)] = None,
    workers: Workers = None,
    engine: EngineName = None,
    address: Address = None,
    memory: Memory = None,
    store: StoreFolder = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the cells and the time they would take")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no line for each cell")] = False,
) -> None:
    """Judge many methods on many tasks side by side, and write the pages."""
    commands = _commands(workers, dry_run or engine == "ray")
    commands.board(board, out, only or [], limit, commands.How(workers, store, memory, dry_run, quiet, engine, address))


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
        if isinstance(error, AssayError):
            _stop(str(error), 2)
        import traceback

        _say(traceback.format_exc())  # a fault of ours: everything that helps to find it, but for secrets in URLs
        sys.exit(1)


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
        _say(f"assay: {sentence}")
    sys.exit(code)


def _say(words: str) -> None:
    """Words on standard error: no secret of a URL, and nothing that a terminal would take for a command."""
    from assay.errors import masked
    from assay.io.mirror import told
    from assay.report.wording import visible

    typer.echo(visible(masked(told(words))), err=True)
