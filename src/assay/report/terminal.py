"""The report in a terminal: a compact summary, plans, methods and reasons, without colour where there is no terminal.

Facts are printed as plain text, never as markup, so brackets in a title or a reason stay what they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from assay.report import cleaning, sweep, verdicts, view
from assay.report.view import Facts, part
from assay.report.wording import UNKNOWN, count, date, duration, feature, number, one_line, share, size, visible

_ANSWER_STYLES = {"better": "bold green", "worse": "bold red", "undecided": "bold", "none": "dim"}
_TOP_SOURCES, _TOP_FEATURES, _BAR = 8, 6, 18


def console() -> Console:
    """Where everything is printed: standard output, in colour where that is a terminal."""
    return Console()


def show(facts: Facts, verdict: Facts | None, console: Console, folder: str | None = None) -> None:
    """Print what was chosen, what became of the rest, the verdict, and where things lie in `folder`."""
    head = [date(part(facts, "created")), f"digest {visible(facts['digest'])[:12]}" if part(facts, "digest") else ""]
    console.print()
    console.print(_plain(view.title(facts), "bold"), _plain("  ".join(filter(None, head)), "dim"), soft_wrap=False)
    console.print()
    console.print(_chosen(facts))
    _part(console, "Rows", _rows(facts, console))
    _cleaned(facts, console)
    if part(facts, "quarantine"):
        _part(console, "Quarantine", _quarantine(facts))
    _part(
        console,
        "Sources",
        _sources(facts, console) if part(facts, "sources") else _plain(view.MISSING["sources"], "dim"),
    )
    if part(facts, "score") or view.through(facts) == "chosen":
        _part(console, "Score", _score(facts))
    _notes(facts, console)
    if verdict:
        show_verdict(verdict, console)
    else:
        words, command = view.untested(facts, folder or "RUN")
        _part(console, "Verdict", _plain(f"{view.MISSING['verdict']} {words}: {command}", "dim"))
    if folder is not None:
        _part(console, "Files", _files(folder, view.through(facts)))
    console.print()


def show_verdict(verdict: Facts, console: Console) -> None:
    """Print a verdict: the sentence, its three figures, and what a reader must know before believing it."""
    lead, explained = verdicts.split(view.sentence(verdict))
    table = _grid(3)
    for measure in view.measures(verdict):
        table.add_row(_plain(measure["name"]), _plain(measure["value"], "bold"), _plain(measure["detail"], "dim"))
    told = [_plain(lead, _ANSWER_STYLES[view.answer(verdict)]), *([_plain(explained)] if explained else [])]
    _part(console, "Verdict", Group(*told, table))
    for name, head, rows in _verdict_tables(verdict):
        if rows:
            _part(console, name, _table(head, rows))
    found = (
        verdicts.ranking(verdict),
        verdicts.breadth_words(verdict),
        sweep.sentence(verdict),
        verdicts.fitted(verdict),
        verdicts.cost(verdict),
    )
    _part(
        console,
        "How to read it",
        Group(*(_plain(note, "dim") for note in (*filter(None, found), *view.caveats(verdict)))),
    )


def _verdict_tables(verdict: Facts) -> Iterable[tuple[str, Sequence[str], Sequence[Sequence[str]]]]:
    """The arms, the tasks and the proxies: name, head and rows of each table."""
    arms, general = verdicts.arms(verdict), any(arm["general"] for arm in verdicts.arms(verdict))
    yield (
        "Arms",
        ("", "per arm", verdicts.metric(verdict), *(["general"] if general else []), "the choice is", "saved"),
        [
            (
                arm["name"], arm["units"], arm["metric"], *([arm["general"]] if general else []), arm["answer"],
                arm["saved"],
            )
            for arm in arms
        ],
    )  # fmt: skip
    other = view.against(verdict)
    yield (
        "Tasks",
        ("", "items", "the choice is", "metric", "choice", other, "accuracy", other, "chance"),
        [
            tuple(
                task[key]
                for key in (
                    "name", "size", "answer", "metric", "choice", "reference", "accuracy", "reference_accuracy", "chance",
                )
            )
            for task in verdicts.tasks(verdict)
        ],
    )  # fmt: skip
    yield sweep.NAME, sweep.HEAD, sweep.rows(verdict)
    yield (
        "Proxies",
        ("", "per arm", "the choice is", "saved", "interval", "worth"),
        [
            tuple(proxy[key] for key in ("name", "units", "answer", "saved", "bounds", "worth"))
            for proxy in verdicts.proxies(verdict)
        ],
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Columns under their heads; answers in the colours of verdicts."""
    table = _grid(len(head))
    table.add_row(*(_plain(words, "dim") for words in head))
    for row in rows:
        styles = [_ANSWER_STYLES.get(words, "") for words in row]
        table.add_row(*(_plain(words, style) for words, style in zip(row, styles, strict=True)))
    return table


def show_plan(plan: Facts, console: Console) -> None:
    """Print what a run would do.

    `plan`: `{shards: [{path, format, size}], rows, bytes, steps: [str], seconds, workers, out, budget, notes}`.
    """
    shards = part(plan, "shards") or []
    facts = _grid(2)
    total = f"{count(len(shards))} ({size(sum(shard.get('size') or 0 for shard in shards))} on disk)"
    rows = f"{count(plan.get('rows'))}, {size(plan.get('bytes'))} of text" if part(plan, "rows") else "not counted yet"
    for name, words in (
        ("shards", total),
        ("rows", rows),
        ("budget", part(plan, "budget")),
        ("workers", part(plan, "workers")),
        ("out", part(plan, "out")),
    ):
        if words is not None:
            facts.add_row(_plain(name, "dim"), _plain(visible(words)))
    console.print()
    console.print(_plain("Plan", "bold"), _plain("(dry run: nothing is written)", "dim"))
    console.print(_inset(facts))
    if shards:
        _part(console, "Shards", _shards(shards))
    steps = part(plan, "steps") or []
    _part(console, "Steps", Group(*(_plain(f"{place}. {one_line(step, 200)}") for place, step in enumerate(steps, 1))))
    _notes(plan, console)
    _part(
        console,
        "Time",
        _plain(f"about {duration(plan['seconds'])}" if part(plan, "seconds") is not None else "not estimated"),
    )
    console.print()


def show_methods(methods: Sequence[Facts], console: Console) -> None:
    """Print what there is: one line for each `{name, kind, summary, paper, target}`, by kind."""
    for kind in dict.fromkeys(str(method.get("kind", "")) for method in methods):
        table = _grid(3)
        for method in methods:
            if str(method.get("kind", "")) == kind:
                target = {"required": "needs a target", "optional": "may use a target"}.get(
                    str(method.get("target")), ""
                )
                table.add_row(
                    _plain(visible(method.get("name", "")), "bold"),
                    _plain(one_line(method.get("summary", ""), 200)),
                    _plain(target, "dim"),
                )
        _part(console, kind.capitalize() or "Methods", table)
    console.print(_plain("\nassay methods NAME tells the formula, the source and the parameters of one.", "dim"))


def show_method(info: Facts, console: Console) -> None:
    """Print one method as `catalog.describe` gives it: name, kind, documentation, paper, needs, target, parameters and
    `fields`, what these mean."""
    console.print()
    console.print(_plain(visible(info.get("name", "")), "bold"), _plain(visible(info.get("kind", "")), "dim"))
    console.print(
        Padding(
            _plain(_unwrapped(visible(info.get("documentation") or info.get("summary") or "").strip())),
            (1, 0, 1, 2),
            expand=False,
        )
    )
    facts = _grid(2)
    for name in ("target", "needs", "paper"):
        if part(info, name):
            words = info[name]
            facts.add_row(
                _plain(name, "dim"), _plain(visible(words if isinstance(words, str) else ", ".join(map(str, words))))
            )
    console.print(_inset(facts))
    if part(info, "parameters"):
        table = _grid(2)
        for name, default in info["parameters"].items():
            table.add_row(_plain(visible(name), "bold"), _plain(f"= {one_line(default, 80)}", "dim"))
        told = _plain(f"{_unwrapped(visible(info.get('fields') or ''))}\n") if part(info, "fields") else None
        _part(console, "Parameters", Group(*filter(None, [told]), table))
    console.print()


def show_why(info: Facts, console: Console) -> None:
    """Print why a row is in or out, as `Run.why` gives it: its line of the manifest, `cut`, `better`, `of`, `rank_by`.

    `features` and `text` are printed too where they are given.
    """
    status = str(info.get("status") or UNKNOWN)
    style = next((colour for key, _, _, colour in (*view.OUTCOMES, *view.KEPT_OUTCOMES) if key == status), "")
    console.print()
    left = status == "not_chosen" and part(info, "reason") not in (None, "budget")
    words = "dropped" if left else status.replace("_", " ")
    console.print(_plain(f"Row {count(info.get('row'))}"), _plain(words, f"bold {style}".strip()))
    said = part(info, "sentence") or part(info, "reason")
    if said:
        console.print(_inset(_plain(visible(said))))
    facts = _grid(2)
    for name, words in _why_lines(info):
        facts.add_row(_plain(name, "dim"), _plain(words))
    _part(console, "Facts", facts)
    if part(info, "features"):
        _part(console, "Features", _plain(_pulls(info["features"])))
    if part(info, "text"):
        _part(console, "Text", _plain(one_line(info["text"], 600)))
    console.print()


def _why_lines(info: Facts) -> Iterable[tuple[str, str]]:
    for name in ("id", "shard", "source"):
        if part(info, name):
            yield name, one_line(info[name], 160)
    if info.get("bytes") is not None:
        yield "bytes", size(info["bytes"])
    if info.get("score") is not None:
        cut = f"; the cut is at {number(info['cut'])}" if info.get("cut") is not None else ""
        yield one_line(info.get("rank_by") or "score", 40), number(info["score"]) + cut
    if info.get("better") is not None:
        yield "place", f"{count(info['better'])} of {count(info.get('of'))} rows score higher"
    if info.get("rank") is not None and info["rank"] > 0:
        yield "rank", f"{count(info['rank'])} in order of choice"
    if info.get("weight") and info.get("status") == "chosen":
        yield "weight", f"{number(info['weight'], 3)} passes per epoch"


def _unwrapped(text: str) -> str:
    """Paragraphs as one line each, so that the terminal's width breaks them; lines set in, as formulas are, stay.

    >>> _unwrapped("one\\ntwo\\n\\n    w = p / q\\nthree")
    'one two\\n\\n    w = p / q\\nthree'
    """
    lines: list[str] = []
    for line in text.split("\n"):
        flows = bool(lines) and all(each and not each.startswith((" ", "-", "*")) for each in (lines[-1], line))
        if flows:
            lines[-1] += f" {line}"
        else:
            lines.append(line)
    return "\n".join(lines)


def _plain(words: Any, style: str = "") -> Text:
    """Words as they are: no markup, and a long word may break."""
    return Text(str(words), style=style, overflow="fold")


def _grid(columns: int) -> Table:
    table = Table.grid(padding=(0, 2))
    for _ in range(columns):
        table.add_column(overflow="fold")
    return table


def _part(console: Console, name: str, body: RenderableType) -> None:
    """A named part: the name above, the body set in."""
    console.print()
    console.print(_plain(name, "bold"))
    console.print(_inset(body))


def _notes(facts: Facts, console: Console) -> None:
    if part(facts, "notes"):
        _part(console, "Notes", Group(*(_plain(visible(note)) for note in facts["notes"])))


def _inset(body: RenderableType) -> Padding:
    return Padding(body, (0, 0, 0, 2), expand=False)


def _chosen(facts: Facts) -> Table:
    table = _grid(3)
    for figure in view.key_figures(facts):
        table.add_row(
            _plain(f"  {figure['unit']}", "dim"), _plain(figure["value"], "bold"), _plain(figure["of"], "dim")
        )
    if view.budget(facts):
        table.add_row(
            _plain("  budget", "dim"),
            _plain(one_line(facts["budget"].get("asked", ""), 40)),
            _plain(view.budget(facts).partition(": ")[2], "dim"),
        )
    return table


def _rows(facts: Facts, console: Console) -> Group:
    sentence, adds_up = view.accounting(facts)
    strip = Text()
    width = max(20, min(console.width - 4, 72))
    for entry in view.outcomes(facts):
        if entry["rows"]:
            strip.append(_block(console, entry["key"]) * max(1, round(width * entry["part"])), style=entry["colour"])
    told = _plain(f"{sentence}.", "" if adds_up else "bold red")
    stages = cleaning.funnel(facts)
    return Group(strip, told, *([_plain(""), _funnel(stages)] if stages else []))


def _funnel(stages: Sequence[Facts]) -> Table:
    """Why rows left, how many, how many were still there, and one of those that left."""
    table = _grid(5)
    for place in (1, 2, 3):
        table.columns[place].justify = "right"
    for column in table.columns[1:4]:
        column.no_wrap = True
    table.add_row(*(_plain(words, "dim") for words in ("", "left", "", "rows", "e.g.")))
    for stage in stages:
        table.add_row(
            _plain(stage["short"]),
            _plain(f"−{stage['left']}" if stage["left"] else "", "bold"),
            _plain(stage["left_share"], "dim"),
            _plain(stage["rows"]),
            _plain(stage["example"], "dim"),
        )
    return table


def _cleaned(facts: Facts, console: Console) -> None:
    """Duplicates, edits, fits, and what the recipe lacks, each where there is any."""
    if cleaning.duplicates(facts):
        _part(console, "Duplicates", Group(*(_plain(_copies(entry)) for entry in cleaning.duplicates(facts))))
    if cleaning.edits(facts):
        _part(console, "Edits", Group(*(_plain(_changed(entry)) for entry in cleaning.edits(facts))))
    if cleaning.learnt(facts):
        table = _grid(2)
        for name, words in cleaning.learnt(facts):
            table.add_row(_plain(name), _plain(words, "dim"))
        _part(console, "Learnt", table)
    if cleaning.lacks(facts):
        name = cleaning.about(facts)["recipe"] or "This recipe"
        _part(console, f"{name} lacks", Group(*(_plain(f"- {line}") for line in cleaning.lacks(facts))))


def _copies(entry: Facts) -> str:
    if entry["rows"] == "0":
        return f"{entry['group']}: no copies"
    groups = f" from {entry['groups']} groups, the largest of {entry['largest']}" if entry["groups"] else ""
    stays = f"; {entry['keep']} stays" if entry["keep"] else ""
    dropped = f"{entry['rows']} copies dropped ({entry['bytes']})"
    return f"{entry['group']}: {dropped}{groups}{stays}"


def _changed(entry: Facts) -> str:
    if entry["rows"] == "0":
        return f"{entry['edit']}: no row changed"
    emptied = f"; {entry['emptied']} were left without text" if entry["emptied"] else ""
    return f"{entry['edit']}: {entry['rows']} rows changed, {entry['before']} became {entry['after']}{emptied}"


def _block(console: Console, key: str) -> str:
    """What a bar is made of: blocks of four densities, or letters where the terminal has none."""
    blocks = {"chosen": "█#", "kept": "█#", "not_chosen": "░-", "filtered": "▒/", "quarantined": "▓x"}
    return blocks[key][0 if _can_draw(console) else 1]


def _can_draw(console: Console) -> bool:
    return console.encoding.lower().replace("-", "").startswith("utf")


def _quarantine(facts: Facts) -> Table:
    table = _grid(3)
    for entry in view.quarantine(facts):
        table.add_row(
            _plain(entry["rows"], "bold"),
            _plain(entry["reason"]),
            _plain(entry["example"] and f"e.g. {entry['example']}", "dim"),
        )
    return table


def _sources(facts: Facts, console: Console) -> Table:
    entries = view.sources(facts, _TOP_SOURCES)
    most = max((max(entry["before"], entry["after"]) for entry in entries), default=1) or 1
    table = Table.grid(padding=(0, 2))
    after = "choice" if view.through(facts) == "chosen" else "kept"
    for justify in ("left", "right", "right", "left", "left"):
        table.add_column(justify=justify, overflow="fold")
    table.add_row(*(_plain(words, "dim") for words in ("share of bytes", "pool", after, "", "change")))
    for entry in entries:
        bars = Text()
        bars.append(_block(console, "chosen") * round(_BAR * entry["after"] / most), style="yellow")
        table.add_row(
            _plain(one_line(entry["name"], 28)),
            _plain(entry["before_text"]),
            _plain(entry["after_text"], "bold"),
            bars,
            _plain(entry["change"], "dim"),
        )
    return table


def _score(facts: Facts) -> RenderableType:
    score = part(facts, "score")
    if score is None:
        return _plain(view.MISSING["score"], "dim")
    cut = f"the cut is at {number(score['cut'])}" if score.get("cut") is not None else view.MISSING["cut"]
    lines = [_plain(f"{one_line(score.get('name') or 'score', 60)}: {cut}")]
    pulls = view.features(facts)
    for side, style in (("up", "yellow"), ("down", "blue")):
        if pulls and pulls[side]:
            names = "  ".join(feature(entry["feature"]) for entry in pulls[side][:_TOP_FEATURES])
            lines.append(Text.assemble((f"{side:<5}", style), names, overflow="fold"))
    return Group(*lines)


def _pulls(entries: Sequence[Facts]) -> str:
    return "  ".join(f"{feature(entry.get('feature', ''))} {number(entry.get('weight'), 3)}" for entry in entries)


def _files(folder: str, through: str) -> Table:
    root = folder.rstrip("/")
    table = _grid(2)
    for name, words in (
        ("selected/", f"the {through} rows, as they came"),
        ("manifest.parquet/", "one line for every input row"),
        ("report.html", "the report with plots, drawn by assay report"),
    ):
        table.add_row(_plain(f"{visible(root)}/{name}"), _plain(words, "dim"))
    return table


def _shards(shards: Sequence[Mapping[str, Any]], most: int = 10) -> Table:
    table = _grid(3)
    for shard in shards[:most]:
        table.add_row(
            _plain(one_line(shard.get("path", ""), 120)),
            _plain(visible(shard.get("format", "")), "dim"),
            _plain(size(shard.get("size")), "dim"),
        )
    if len(shards) > most:
        rest = sum(shard.get("size") or 0 for shard in shards[most:])
        whole = sum(shard.get("size") or 0 for shard in shards)
        table.add_row(
            _plain(f"and {count(len(shards) - most)} more", "dim"),
            _plain(""),
            _plain(f"{size(rest)} ({share(rest, whole)})", "dim"),
        )
    return table
