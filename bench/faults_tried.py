"""What was broken on purpose, what happens then, and the test that breaks it: the first table of docs/reliability.md.

`tests/faults/test_page.py` sees to it that every test named here exists, and that every test of a fault is named here.
"""

from __future__ import annotations

COLUMNS = ["fault", "what happens", "checked by"]
# Fault, what happens, and the tests: file in tests/faults/, and tests in it.
TRIED = (
    ("kill -9 in any stage", "the same command goes on: same bytes, no finished shard is made twice",
     "test_kills.py", ("killed_in_a_stage_and_run_again",)),
    ("kill -9 at chance moments, with edits and two workers", "the same bytes, nothing left over",
     "test_clean_kills.py", ("killed_at_any_time_and_run_again_gives_the_same_bytes",)),
    ("disk full, at each of sixteen kinds of file a selection writes", "one sentence: folder, bytes free, bytes needed; with room "
     "the rerun gives the same bytes", "test_full_disk.py", ("full_at_every_kind_of_file_of_a_selection",)),
    ("disk full while edited rows, a verdict or a report are written", "the same", "test_full_disk.py",
     ("full_while_edited_rows_are_written", "full_while_a_verdict_and_a_report_are_written")),
    ("a limit on file sizes", "the same, and it is named", "test_full_disk.py",
     ("a_limit_on_file_sizes_is_said_for_what_it_is",)),
    ("folders that may not be written, as a user without rights", "one sentence names the place; nothing is half-written",
     "test_read_only.py", ("folders_that_may_not_be_written",)),
    ("a file changes, grows, shrinks or vanishes while it is counted, fitted on, scored or copied", "refused by name; nothing "
     "of the other content is kept; with the old content back, the bytes of an undisturbed run", "test_changes.py",
     ("a_file_that_changes_while_it_is_read", "what_was_read_of_a_changing_file_serves_no_later_run")),
    ("a file changes after the selection", "deciding again, verify and arms refuse it by name", "test_changes.py",
     ("a_file_that_changed_after_the_selection",)),
    ("a byte flipped anywhere in JSON lines, gzip, zstandard, Parquet, CSV, JSON, Arrow", "every row accounted for, or a sentence "
     "that names the file", "test_damage.py", ("a_flipped_byte_anywhere",)),
    ("truncated files of these formats", "rows before the cut are read, the tail is one quarantined row; Parquet and Arrow, whose "
     "index is at the end, are refused", "test_damage.py",
     ("a_file_that_ends_early", "truncated_parts_of_a_pool_do_not_cost_the_others",
      "a_member_after_damage_is_not_read_as_a_file_of_its_own")),
    ("a zip bomb in .zst and .gz", "one quarantined row says the limit (64 MB and 250 times its packed size); memory stays bounded",
     "test_damage.py", ("a_bomb_ends_in_one_row_and_little_memory",)),
    ("a zstandard window above 128 MB", "one quarantined row says how to pack it", "test_damage.py",
     ("a_window_that_no_reader_should_hold_is_named",)),
    ("more unreadable rows than fit in memory", "they wait on disk", "test_damage.py",
     ("many_rows_that_cannot_be_read_take_little_memory",)),
    ("a line of 100 MB", "quarantined by offset, length, hash and its first 64 KB", "test_damage.py",
     ("a_line_of_a_hundred_megabytes",)),
    ("NUL bytes, lone surrogates, invalid UTF-8, BOM, CRLF", "what is text leaves byte for byte, the rest is quarantined as it is",
     "test_hostile_bytes.py", ("bytes_that_no_text_should_hold",)),
    ("ids that stand there twice", "no row is lost or mixed up", "test_hostile_bytes.py",
     ("ids_that_stand_there_twice_lose_no_row",)),
    ("two runs into one folder at once", "the second is refused, the first goes on", "test_neighbours.py",
     ("a_second_run_into_one_folder_is_refused_and_the_first_goes_on",)),
    ("two pools, and one pool twice, in one store at once", "each gives the bytes it gives alone", "test_neighbours.py",
     ("two_pools_and_two_runs_of_one_share_a_store_at_once",)),
    ("clocks and files' times that go back", "the same bytes", "test_caches.py",
     ("files_times_and_clocks_that_go_back_change_nothing",)),
    ("other text of the same size, inode and time of modification", "it is seen, and read again", "test_caches.py",
     ("other_text_of_the_same_size_and_time_is_other_text",)),
    ("signals of an older version or of another pool in the store", "never taken", "test_caches.py",
     ("what_an_older_version_stored_is_never_taken", "another_pool_of_the_same_names_and_rows_is_another_pool")),
    ("a worker killed", "the message names its shard, and what to lower", "test_memory.py",
     ("a_killed_worker_is_told_of_with_its_shard",)),
    ("memory runs out", "the same; with memory the rerun ends well", "test_memory.py",
     ("memory_that_runs_out_is_told_of_with_the_shard",)),
)  # fmt: skip
# Their own pages tell of them, or they are no faults.
ELSEWHERE = ("test_object_store.py", "test_cluster.py", "test_slurm.py", "test_page.py", "test_checker.py")


def table() -> dict:
    """Columns and rows for the document."""
    rows = [
        [fault, happens, f"`{file}`: {', '.join(name.replace('_', ' ') for name in names)}"]
        for fault, happens, file, names in TRIED
    ]
    return {"columns": COLUMNS, "rows": rows}
