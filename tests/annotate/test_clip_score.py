"""CLIP scores against cosines by hand, and the command on archives and Parquet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import account_holds, chosen, done, manifest, ranked, select
from image_pairs import archive, members, pairs, tiny_clip

pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("PIL", reason="needs Pillow")
pytest.importorskip("transformers", reason="needs transformers")

from assay.annotate.clip_score import ClipScore
from assay.errors import InputError, RecipeError
from assay.models.image_text import image_text_of
from assay.models.image_text_network import Network
from assay.types import Batch, Texts

PAIRS = pairs()[:12]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("clip"))


def batch(rows: list[tuple[bytes, str]]) -> Batch:
    texts = Texts.of([text for _, text in rows])
    none = np.arange(len(rows))
    return Batch(none, none.astype(np.uint64), {"text": texts, "image": Texts.of_bytes([image for image, _ in rows])})


def scores(method: ClipScore, rows: list[tuple[bytes, str]]) -> np.ndarray:
    found = method.annotate(batch(rows), {"prepared": method.prepare({})})["clip_score"]
    assert isinstance(found, np.ndarray) and found.dtype == np.float32
    return found


def by_hand(folder: Path, rows: list[tuple[bytes, str]]) -> np.ndarray:
    """Cosines of the vectors before they are made as long as one."""
    import torch

    network, found = Network.of(image_text_of(str(folder))), []
    for image, text in rows:
        pixels, _ = network.model.pixels(Texts.of_bytes([image]))
        with torch.no_grad():
            v = network.module.get_image_features(pixel_values=torch.from_numpy(pixels))
            c = network.module.get_text_features(input_ids=torch.from_numpy(network.model.tokens([text])))
        v, c = (getattr(one, "pooler_output", one)[0].double().numpy() for one in (v, c))
        assert abs(np.linalg.norm(v) - 1) > 0.05 and abs(np.linalg.norm(c) - 1) > 0.05
        found.append(v @ c / (np.linalg.norm(v) * np.linalg.norm(c)))
    return np.array(found)


def test_the_score_is_the_cosine(folder: Path) -> None:
    cosines = by_hand(folder, list(PAIRS))
    np.testing.assert_allclose(scores(ClipScore(str(folder)), list(PAIRS)), cosines, atol=2e-6)
    assert (cosines < 0).any() and (cosines > 0).any()


def test_clipscore_is_clipped_scaled_and_prompted(folder: Path) -> None:
    prompted = by_hand(folder, [(image, f"A photo depicts {text}") for image, text in PAIRS])
    assert not np.allclose(prompted, by_hand(folder, list(PAIRS)), atol=0.01)
    method, rows = ClipScore(str(folder), "clipscore"), batch(list(PAIRS))
    network = method.prepare({})
    found = method.annotate(rows, {"prepared": network})["clip_score"]
    np.testing.assert_allclose(np.asarray(found), 2.5 * np.maximum(prompted, 0), atol=5e-6)
    network.module.text_projection.weight.data.neg_()  # all cosines change their sign
    turned = np.asarray(method.annotate(rows, {"prepared": network})["clip_score"])
    np.testing.assert_allclose(turned, 2.5 * np.maximum(-prompted, 0), atol=5e-6)
    assert (turned == 0).any() and (np.asarray(found) > 0).any()


def test_an_image_that_cannot_be_decoded_is_declined(folder: Path) -> None:
    rows = [PAIRS[0], (b"GIF89a" + bytes(7) + b";", "no picture in it"), PAIRS[1]]
    for variant in ("cosine", "clipscore"):
        method = ClipScore(str(folder), variant)
        found, alone = scores(method, rows), scores(method, [PAIRS[0], PAIRS[1]])
        assert np.isnan(found[1])
        np.testing.assert_allclose(found[[0, 2]], alone, atol=1e-6)
    assert scores(ClipScore(str(folder)), []).shape == (0,)


def test_the_key_holds_what_the_folder_holds(folder: Path, tmp_path: Path) -> None:
    other = tiny_clip(tmp_path / "other", seed=5)
    one, two = repr(ClipScore(str(folder))), repr(ClipScore(str(other))).replace(str(other), str(folder))
    assert one != two and "variant='cosine'" in one


def test_wrong_words_are_refused(folder: Path) -> None:
    with pytest.raises(RecipeError, match="variant must be cosine or clipscore; got 'dot'"):
        ClipScore(str(folder), "dot")
    rows = np.arange(2)
    plain = Batch(rows, rows.astype(np.uint64), {"text": Texts.of(["a", "b"])})
    with pytest.raises(InputError, match="clip_score needs rows with an image and a caption"):
        ClipScore(str(folder)).annotate(plain, {"prepared": None})
    pictures = Texts.of_bytes([image for image, _ in PAIRS[:2]])
    with pytest.raises(InputError, match="got rows without captions"):
        ClipScore(str(folder)).annotate(
            Batch(rows, plain.hashes, {"text": pictures, "image": pictures}), {"prepared": None}
        )


def test_the_command_keeps_the_pairs_of_the_largest_score(folder: Path, tmp_path: Path) -> None:
    pool, run = archive(tmp_path / "pairs.tar", PAIRS), tmp_path / "run"
    done(pool, "--method", "clip_score", "--model", folder, "--budget", "25%", "--out", run)
    account_holds(run, 12)
    expected = scores(ClipScore(str(folder)), list(PAIRS))
    assert ranked(run) == np.argsort(-expected, kind="stable")[:3].tolist()
    np.testing.assert_allclose(manifest(run)["score"].to_numpy(), expected, atol=1e-6)
    kept = [name for name, _ in members(run / "selected" / "pairs.tar") if name.endswith(".png")]
    assert kept == [f"{row:04}.png" for row in chosen(run)]
    held = pa.table({"image": [image for image, _ in PAIRS], "caption": [text for _, text in PAIRS]})
    pq.write_table(held, tmp_path / "pairs.parquet")
    done(
        tmp_path / "pairs.parquet",
        "--method",
        "clip_score",
        "--model",
        folder,
        "--budget",
        "25%",
        "--out",
        tmp_path / "two",
    )
    assert ranked(tmp_path / "two") == ranked(run)


def test_datacomps_cut_keeps_one_more(folder: Path, tmp_path: Path) -> None:
    """The value at rank int(n f), counted from 0, and all that is not below it: a budget keeps int(n f) rows."""
    pool, run, fraction = archive(tmp_path / "pairs.tar", PAIRS), tmp_path / "run", 0.25
    done(pool, "--method", "clip_score", "--model", folder, "--budget", f"{fraction:%}", "--out", run)
    found = manifest(run)["score"].to_numpy()
    cut = -np.sort(-found)[int(len(found) * fraction)]
    assert set(np.flatnonzero(found >= cut)) > set(chosen(run)) and (found >= cut).sum() == len(chosen(run)) + 1


def test_a_pool_without_images_and_a_command_without_a_model_are_told(folder: Path, tmp_path: Path) -> None:
    plain = tmp_path / "pool.jsonl"
    plain.write_text('{"text": "no image"}\n' * 3)
    said = select(plain, "--method", "clip_score", "--model", folder, "--budget", "1", "--out", tmp_path / "a").sentence
    assert "needs rows with an image and a caption" in said
    pool = archive(tmp_path / "pairs.tar", PAIRS)
    said = select(pool, "--method", "clip_score", "--budget", "3", "--out", tmp_path / "b").sentence
    assert said.startswith("a network of image and text is needed") and "--model" in said
