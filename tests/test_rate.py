"""`rate` against a chat endpoint of our own on the loopback: real sockets, real failures, a real kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.errors import InputError, RecipeError, RunError
from assay.io.journal import read_journal
from assay.rate import RateAsked, parse, rate
from assay.score.distill_ratings import DistillRatings

KEY = "sk-a-key-that-nobody-may-see-0123456789"
TEXTS = [
    f"Document {number} of the pool, {'good' if number % 2 else 'dull'} and {number % 7} long." for number in range(40)
]
PROMPT = 'Rate from 0 to 5. Answer as {"score": n}.\n\n{text}\n'


def rating_of(prompt: str) -> int:
    return int(prompt.split(" of the pool")[0].split()[-1]) % 6


Answer = Callable[[int, str], tuple[int, dict[str, str], Any]]


class Server:
    """Answers with what `answer(how often this prompt was asked, prompt)` says; remembers what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self.asked: Counter[str] = Counter()
        self.keys: set[str | None] = set()
        self.at_once = self.most_at_once = 0
        lock, server = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                prompt = body["messages"][0]["content"]
                with lock:
                    server.asked[prompt] += 1
                    server.keys.add(self.headers.get("Authorization"))
                    server.at_once += 1
                    server.most_at_once = max(server.most_at_once, server.at_once)
                code, headers, content = answer(server.asked[prompt], prompt)
                raw = content if isinstance(content, bytes) else json.dumps(content).encode()
                with lock:
                    server.at_once -= 1
                try:
                    self.send_response(code)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(raw)))
                    self.end_headers()
                    self.wfile.write(raw)
                except OSError:
                    pass  # whoever asked has given up waiting

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"


@contextmanager
def serving(answer: Answer) -> Iterator[Server]:
    server = Server(answer)
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        thread.join()
        server.http.server_close()


def said(text: str, tokens: tuple[int, int] = (30, 3)) -> tuple[int, dict[str, str], Any]:
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
    return 200, {}, {"choices": [{"message": {"role": "assistant", "content": text}}], "usage": usage}


def good(times: int, prompt: str) -> tuple[int, dict[str, str], Any]:
    return said(f"It is fine. Score: {rating_of(prompt)}")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    rows = [json.dumps({"id": f"doc-{number}", "text": text}) for number, text in enumerate(TEXTS)]
    (tmp_path / "pool.jsonl").write_text("\n".join(rows) + "\n", "utf-8")
    (tmp_path / "prompt.txt").write_text(PROMPT, "utf-8")
    return tmp_path


def asked(place: Path, server: Server, **more: Any) -> RateAsked:
    settings: dict[str, Any] = {"rows": len(TEXTS), "yes": True, "backoff": 0.01, "concurrency": 4, **more}
    return RateAsked(str(place / "prompt.txt"), server.url, "small", **settings)


def run(place: Path, server: Server, **more: Any) -> dict[str, Any]:
    return rate([str(place / "pool.jsonl")], asked(place, server, **more), place / "out")


def rows(place: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (place / "out" / "ratings.jsonl").read_text("utf-8").splitlines()]


def test_every_row_is_asked_once_and_written_in_row_order(place: Path):
    def answer(times: int, prompt: str) -> tuple[int, dict[str, str], Any]:
        time.sleep(0.05)
        return good(times, prompt)

    with serving(answer) as server:
        told = run(place, server)
    assert set(server.asked.values()) == {1} and 1 < server.most_at_once <= 4
    assert set(server.asked) == {PROMPT.replace("{text}", text) for text in TEXTS}
    found = rows(place)
    assert [row["row"] for row in found] == list(range(40)) and [row["id"] for row in found][:2] == ["doc-0", "doc-1"]
    assert [row["text"] for row in found] == TEXTS and [row["rating"] for row in found] == [k % 6 for k in range(40)]
    assert (told["rated"], told["failed"], told["tokens"]) == (40, 0, (1200, 120))


def test_a_finished_run_asks_nothing_and_a_larger_sample_only_the_rest(place: Path):
    with serving(good) as server:
        run(place, server, rows=10)
        first = {row["row"] for row in rows(place)}
        before = server.asked.total()
        assert before == 10 and run(place, server, rows=10)["calls"] == 0 and server.asked.total() == before
        assert run(place, server, rows=25)["calls"] == 15
    assert set(server.asked.values()) == {1} and first < {row["row"] for row in rows(place)}


def test_busy_broken_and_slow_answers_are_asked_for_again(place: Path):
    def answer(times: int, prompt: str) -> tuple[int, dict[str, str], Any]:
        kind = rating_of(prompt)
        if times > 2:
            return good(times, prompt)
        if kind == 0:
            return 429, {"Retry-After": "0.02"}, {"error": "slow down"}
        if kind == 1:
            return 500, {}, b"<html>oops</html>"
        if kind == 2:
            return 200, {}, b'{"choices": [{"mess'
        if kind == 3:
            time.sleep(0.6)
        if kind == 4:
            return 503, {"Retry-After": formatdate(time.time() - 5, usegmt=True)}, b""
        return good(times, prompt)

    with serving(answer) as server:
        told = run(place, server, timeout=0.3, concurrency=16)
    assert told["failed"] == 0 and [row["rating"] for row in rows(place)] == [k % 6 for k in range(40)]
    times = {rating_of(prompt): count for prompt, count in server.asked.items()}
    assert times == {0: 3, 1: 3, 2: 3, 3: 3, 4: 3, 5: 1}


def test_the_pause_that_the_server_asks_for_is_kept(place: Path):
    seen: list[float] = []

    def answer(times: int, prompt: str) -> tuple[int, dict[str, str], Any]:
        seen.append(time.monotonic())
        return (429, {"Retry-After": "0.5"}, {}) if times == 1 else good(times, prompt)

    with serving(answer) as server:
        run(place, server, rows=1)
    assert seen[1] - seen[0] >= 0.5


def test_what_cannot_be_parsed_is_kept_as_failed_with_the_reply(place: Path):
    replies = {0: "I cannot rate this.", 1: "Score: 9", 2: ""}

    def answer(times: int, prompt: str) -> tuple[int, dict[str, str], Any]:
        return said(replies.get(rating_of(prompt), f"Score: {rating_of(prompt)}"))

    with serving(answer) as server:
        told = run(place, server, rows=40)
        assert told["failed"] == 21 and told["rated"] == 19
        failed = {row["reply"]: row["error"] for row in rows(place) if row["rating"] is None}
        assert failed == {
            "I cannot rate this.": "no rating in the reply",
            "Score: 9": "the rating must be from 0 to 5; got 9",
            "": "no rating in the reply",
        }
        assert run(place, server)["calls"] == 21  # they are asked for again
        assert run(place, server)["rows"] == len(rows(place)) == 40


def test_a_server_that_never_recovers_leaves_failed_rows_and_one_that_refuses_the_key_stops(place: Path, monkeypatch):
    with serving(lambda times, prompt: (500, {}, b"down")) as server:
        told = run(place, server, rows=3, retries=1)
        assert told["failed"] == 3 and server.asked.total() == 6
        assert "answered 500: down, after 2 attempts" in rows(place)[0]["error"]
    monkeypatch.setenv("OUR_KEY", KEY)
    for code, what in ((401, "refused the key"), (404, "must be a chat endpoint"), (302, "must be a chat endpoint")):
        with serving(
            lambda times, prompt, code=code: (code, {"Location": "http://127.0.0.1:9/"}, KEY.encode())
        ) as server:
            with pytest.raises(InputError, match=what) as caught:
                rate([str(place / "pool.jsonl")], asked(place, server, key_variable="OUR_KEY"), place / f"out-{code}")
            assert KEY not in str(caught.value)


def test_the_key_is_sent_and_is_nowhere_else(place: Path, monkeypatch, capfd):
    monkeypatch.setenv("OUR_KEY", KEY)

    def answer(times: int, prompt: str) -> tuple[int, dict[str, str], Any]:
        echo = (400, {}, f"bad request with {KEY}".encode())
        return echo if rating_of(prompt) == 3 else good(times, prompt)

    with serving(answer) as server:
        wish = asked(place, server, key_variable="OUR_KEY")
        told = rate([str(place / "pool.jsonl")], wish, place / "out")
    assert server.keys == {f"Bearer {KEY}"} and told["failed"] > 0
    printed = capfd.readouterr()
    assert KEY not in repr(wish) + repr(wish.server) + repr(told) + printed.out + printed.err
    files = [path for path in (place / "out").rglob("*") if path.is_file()]
    assert len(files) > 3 and not [path for path in files if KEY.encode() in path.read_bytes()]
    monkeypatch.setenv("OUR_KEY", " ")
    with serving(good) as server, pytest.raises(InputError, match="OUR_KEY must hold"):
        rate([str(place / "pool.jsonl")], asked(place, server, key_variable="OUR_KEY"), place / "other")
    assert not server.asked


def test_nothing_is_asked_before_the_cost_is_agreed_to(place: Path):
    prices = {"price_in": 2.0, "price_out": 10.0, "max_tokens": 100}
    shown: list[dict[str, Any]] = []
    with serving(good) as server:
        dry = run(place, server, dry_run=True, **prices)
        characters = sum(len(PROMPT.replace("{text}", text)) for text in TEXTS)
        assert dry["calls"] == 40 and dry["output_tokens"] == 4000
        assert characters / 4 <= dry["input_tokens"] <= characters / 4 + 40 * 9
        assert dry["cost"] == pytest.approx((2 * dry["input_tokens"] + 10 * 4000) / 1e6)
        with pytest.raises(RecipeError, match="give --yes"):
            rate([str(place / "pool.jsonl")], asked(place, server, yes=False), place / "out", shown.append)
        with pytest.raises(RecipeError, match="above the --max-cost"):
            run(place, server, yes=False, max_cost=dry["cost"] * 0.9, **prices)
        assert not server.asked and shown[0]["calls"] == 40 and not (place / "out" / "ratings.jsonl").exists()
        told = run(place, server, yes=False, max_cost=dry["cost"] * 1.1, **prices)
        assert told["spent"] == pytest.approx((2 * 1200 + 10 * 120) / 1e6) and server.asked.total() == 40
    with pytest.raises(RecipeError, match="needs the prices"):
        RateAsked("p", "http://h/v1", "m", max_cost=1.0)


def test_it_stops_where_the_servers_own_count_passes_the_agreed_cost(place: Path):
    dear = said("Score: 1", (10**6, 10**6))
    with serving(lambda times, prompt: dear) as server, pytest.raises(RunError, match="what was rated is kept"):
        run(place, server, yes=False, max_cost=5.0, price_in=1.0, price_out=1.0)
    assert server.asked.total() < 40 and len(rows(place)) >= 3


def test_another_question_needs_another_folder(place: Path):
    with serving(good) as server:
        run(place, server, rows=3)
        with pytest.raises(RunError, match="another high"):
            run(place, server, high=10.0)
        (place / "prompt.txt").write_text("Otherwise: {text}", "utf-8")
        with pytest.raises(RunError, match="another prompt"):
            run(place, server)
    (place / "prompt.txt").write_text("Rate this.", "utf-8")
    with pytest.raises(InputError, match="where the row's text goes"):
        run(place, server)


KILLED = """
import sys
from pathlib import Path
from assay.rate import RateAsked, rate
pool, prompt, url, out = sys.argv[1:]
rate([pool], RateAsked(prompt, url, "small", rows=40, yes=True, concurrency=2, backoff=0.01), Path(out))
"""


def test_a_killed_run_goes_on_where_it_was_and_ends_in_the_same_bytes(place: Path):
    def slowly(times: int, prompt: str) -> tuple[int, dict[str, str], Any]:
        time.sleep(0.03)
        return good(times, prompt)

    journal = place / "out" / "ratings.jsonl"
    with serving(slowly) as server:
        command = [sys.executable, "-c", KILLED, place / "pool.jsonl", place / "prompt.txt", server.url, place / "out"]
        process = subprocess.Popen([str(part) for part in command], start_new_session=True)
        while server.asked.total() < 8 and process.poll() is None:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kept = len(read_journal(str(journal)))
        with journal.open("ab") as file:
            file.write(b'{"row": 3, "id": "doc-3", "te')  # what a kill in the middle of a write leaves
        before = server.asked.total()
        assert 1 <= kept < 40 and read_journal(str(journal))
        run(place, server, concurrency=2)
        assert server.asked.total() - before == 40 - kept
        resumed = journal.read_bytes()
        rate([str(place / "pool.jsonl")], asked(place, server), place / "whole")
    assert resumed == (place / "whole" / "ratings.jsonl").read_bytes()


def test_a_pattern_of_the_users_finds_the_rating():
    wish = RateAsked("p", "http://h/v1", "m", pattern=r'"score":\s*(\S+?)}', low=1, high=10)
    assert parse('{"why": "2 of 3", "score": 7}', wish) == (7.0, None)
    assert parse('{"score": 3} no, {"score": 4.5}', wish) == (4.5, None)
    assert parse('{"score": high}', wish) == (None, "the rating must be a number; got 'high'")
    assert parse('{"score": nan}', wish)[0] is None and parse('{"score": 0}', wish)[0] is None
    with pytest.raises(RecipeError, match="regular expression"):
        RateAsked("p", "http://h/v1", "m", pattern="(")


def test_what_it_writes_is_what_distilling_reads(place: Path):
    from assay.io.store import Store
    from assay.opening import open_pool
    from assay.recipe import Read
    from assay.run.local import Local

    with serving(lambda times, prompt: said("5" if "good" in prompt else "1")) as server:
        run(place, server)
    with Local(1) as local:
        target = open_pool(
            (str(place / "out" / "ratings.jsonl"),), Read(), Store(place / "store"), local, extra=("rating",)
        )
        scorer = DistillRatings(rating="rating", word_ngrams=1)
        target.needs = scorer.needs
        fitted = scorer.fit(target, target, np.random.default_rng(0))
        guesses = scorer.score(fitted, target.sample(40))
    assert (
        fitted.notes["histogram"] == [[1.0, 20], [5.0, 20]] and (guesses[1::2] > 4).all() and (guesses[::2] < 2).all()
    )
