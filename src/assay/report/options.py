"""The options of the command's verbs: their types, and the words that `--help` shows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def _folder(place: str) -> Path:
    """A path, or the folder that stands for a URL."""
    from assay.io.mirror import folder

    return folder(place)


Paths = Annotated[
    list[str],
    typer.Argument(help="files, folders, globs or URLs; or a recipe.toml; or a finished run", show_default=False),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="the run folder to make, or a URL", parser=_folder, metavar="PATH", show_default=False),
]
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
Share = Annotated[str | None, typer.Option("--general", help="draw this share by chance: 20%", show_default=False)]
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
EngineName = Annotated[
    str | None, typer.Option("--engine", help="local processes, or a ray cluster", show_default=False)
]
Address = Annotated[
    str | None, typer.Option("--address", help="of the Ray cluster: HOST:PORT", show_default=False)
]
StoreFolder = Annotated[
    Path | None,
    typer.Option(
        "--store", help="where signals are kept for later runs; OUT/store unless given", parser=_folder, metavar="PATH",
        show_default=False,
    ),
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
RunFolder = Annotated[
    Path, typer.Argument(help="a finished run folder, or its URL", parser=_folder, metavar="RUN", show_default=False)
]
Eval = Annotated[
    list[str] | None, typer.Option("--eval", "-e", help="held-out text of what you want", show_default=False)
]
General = Annotated[
    list[str] | None,
    typer.Option(help="held-out text of everything else: what the choice costs in breadth", show_default=False),
]
Tasks = Annotated[
    list[str] | None,
    typer.Option(help="a file of multiple-choice or answer items, scored by likelihood", show_default=False),
]
Against = Annotated[
    list[str] | None, typer.Option(help="another run to compare with; random is always there", show_default=False)
]
Proxy = Annotated[
    list[str] | None,
    typer.Option(
        help="the model that judges: ngram, lm-nano, lm-micro, lm-mini, a folder or a hub id; of several the last decides",
        show_default="ngram",
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option(help="random draws to compare with; 5 with ngram, 3 with others", min=3, show_default=False),
]
Rivals = Annotated[
    list[str] | None, typer.Option("--rival", help="random arms to compare with: length, rs2", show_default="length")
]
Epochs = Annotated[int, typer.Option(help="passes over the data, of every arm", min=1)]
Units = Annotated[
    str | None,
    typer.Option(help="at most so much for each arm: 4MB with ngram, 2e6tokens with others", show_default=False),
]
Cache = Annotated[
    str | None, typer.Option(help="where results of trials are kept; the run's store unless given", show_default=False)
]
Results = Annotated[
    str | None,
    typer.Option(
        help="results of a trainer of your own on what assay arms wrote: JSON lines of arm, seed, task, metric, value",
        show_default=False,
    ),
]
Instructions = Annotated[
    bool, typer.Option("--instructions", help="rows are prompts with responses: only responses are learnt and scored")
]
Sweep = Annotated[str | None, typer.Option("--sweep", help="general: try several general shares", show_default=False)]
Shares = Annotated[str | None, typer.Option(help="the shares to sweep, in percent", show_default="0,10,20,40,60,80")]
Decontaminate = Annotated[
    bool,
    typer.Option("--decontaminate", help="drop rows that overlap the eval set from every arm, instead of refusing"),
]
