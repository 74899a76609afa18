"""Headlines scored by a sentiment classifier of transformers: FinBERT, or any with the labels positive and negative.

A score is P(positive) - P(negative). Titles of equal length in tokens are scored together, so that there is no padding:
none costs time, and none makes a title's score depend on its neighbours. As many batches run side by side as torch has
threads, each on one: faster than one batch on all, and the same bits on any number of cores.

Layout of the cache: one Parquet file a model, ``<name>-<identity>.parquet``, with the columns ``title_sha256`` and
``score``; the identity hashes the files of the model, so that no other model's scores are taken. What is in it is not
scored again. It is written every `CHUNK` titles, whole or not at all; of two processes that score at the same time, the
last to write keeps its titles.
"""

import hashlib
import re
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from brain_assets.arrays import FloatArray, IntArray
from brain_assets.errors import MarketError, TableError
from brain_assets.parquet import encode_table, read_table
from brain_assets.paths import DataPath, is_file, replace_file
from brain_assets.progress import report, warn

DEFAULT_MODEL = "ProsusAI/finbert"
CHUNK = 1000  # titles from one writing of the cache, and one line of progress, to the next

MIN_ROWS = 4
"""Fewest titles in a batch, repeated if need be: for one to three rows, matrix products take another way and round
otherwise (seen with MKL on AVX2)."""

MAX_TOKENS = 512  # what is longer is cut off, with a warning; no headline is
_METHOD = "1"  # raise it when the same model would give other scores
_SAFE_WEIGHTS, _PICKLED_WEIGHTS = "model*.safetensors", "pytorch_model*.bin"
_FILES = ("*.json", "*.txt", "*.model")
_COLUMNS = {"title_sha256": "str", "score": "float64"}


class FinBertScorer:
    """Scores headlines; callable from distinct or repeated titles to scores.

    `model` is a folder that `save_pretrained` wrote, or a model repo of the Hub, ``user/name``, which is fetched once,
    when a title is to be scored. Code that it brings along is not run; weights are safetensors or a pickle that holds
    nothing but tensors. `batch_size`: most titles in one pass; changes no score. `cache`: folder of earlier scores.
    """

    def __init__(self, model: str = DEFAULT_MODEL, batch_size: int = 32, cache: DataPath | None = None) -> None:
        self.model, self.batch_size, self.cache = model, batch_size, cache

    def __call__(self, titles: Sequence[str]) -> FloatArray:
        """Score titles, each distinct one once: P(positive) - P(negative), from -1 to 1; (n_titles,).

        Raises `MarketError` if the model cannot be had, or is no classifier with the labels positive and negative, and
        `StorageError` if the cache cannot be written.
        """
        keys = {title: hashlib.sha256(title.encode()).hexdigest() for title in titles}
        if not keys:
            return np.empty(0)
        scores = _read_scores(self._cache_path)
        missing = [title for title, key in keys.items() if key not in scores]
        if missing:
            with closing(self._classifier.score(missing, self.batch_size)) as chunks:  # torch has its threads back
                for chunk, chunk_scores in chunks:
                    scores |= zip((keys[title] for title in chunk), chunk_scores.tolist(), strict=True)
                    if self._cache_path is not None:
                        columns = {"title_sha256": list(scores), "score": list(scores.values())}
                        replace_file(self._cache_path, encode_table(pd.DataFrame(columns).astype(_COLUMNS)))
                    n_done = sum(key in scores for key in keys.values())
                    report(f"news: {n_done:,} of {len(keys):,} headlines scored")
        return np.array([scores[keys[title]] for title in titles])

    @cached_property
    def _folder(self) -> Path:
        return Path(self.model) if Path(self.model).is_dir() else _fetch(self.model)

    @cached_property
    def _classifier(self) -> "_Classifier":
        return _Classifier(self._folder, self.model)

    @cached_property
    def _cache_path(self) -> DataPath | None:
        if self.cache is None:
            return None
        name = Path(self.model).resolve().name if Path(self.model).is_dir() else self.model
        return self.cache / f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)[:100]}-{_identity(self._folder)[:16]}.parquet"


def _read_scores(path: DataPath | None) -> dict[str, float]:
    """Read a cache: scores by the SHA-256 of their titles; one that is damaged is named, and made anew."""
    if path is None or not is_file(path):
        return {}
    try:
        frame = read_table(path)
    except TableError:
        warn(f"{path}: expected a cache of scores, got a damaged file; its headlines are scored again.")
        return {}
    return dict(zip(frame["title_sha256"], frame["score"], strict=True))


class _Classifier:
    """A network and its tokenizer, from a folder; `name`: what messages call it."""

    def __init__(self, folder: Path, name: str) -> None:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
        from transformers.utils import logging

        logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # what matters of what was loaded is checked
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        safely = {"local_files_only": True, "trust_remote_code": False}
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, **safely)
            self._network, loading = AutoModelForSequenceClassification.from_pretrained(
                folder, dtype=torch.float32, weights_only=True, output_loading_info=True, **safely
            )
        except Exception as error:  # whatever a stranger's files bring about in a dozen readers; nothing of them ran
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise _unfit(
                name, "classifier and its tokenizer as save_pretrained writes them", f"got: {reason}"
            ) from error
        if missing := sorted(loading["missing_keys"]):
            raise _unfit(name, "trained classifier", f"got no weights for {', '.join(missing)}")
        config = self._network.eval().config
        labels = [str(config.id2label[i]) for i in range(config.num_labels)]
        lowered = [label.lower() for label in labels]
        if lowered.count("positive") != 1 or lowered.count("negative") != 1:
            raise _unfit(name, "classifier with the labels positive and negative", f"got {', '.join(labels)}")
        self._positive, self._negative = lowered.index("positive"), lowered.index("negative")  # among the logits
        readable = int(getattr(config, "max_position_embeddings", MAX_TOKENS))
        self._max_tokens = min(MAX_TOKENS, readable, self._tokenizer.model_max_length)

    def score(self, titles: Sequence[str], batch_size: int) -> Generator[tuple[list[str], FloatArray], None, None]:
        """Give distinct titles and their scores, `CHUNK` at a time, in the order of their lengths."""
        import torch

        encoded = dict(self._tokenizer(list(titles), truncation=True, max_length=self._max_tokens))
        lengths = np.array([len(tokens) for tokens in encoded["input_ids"]])
        if n_full := int((lengths == self._max_tokens).sum()):
            warn(f"news: {n_full:,} of {len(titles):,} titles have {self._max_tokens} tokens or more; no more is read.")
        order = np.argsort(lengths, kind="stable")
        n_workers = torch.get_num_threads()
        torch.set_num_threads(1)  # for each pass
        try:
            with ThreadPoolExecutor(n_workers) as workers:
                for chunk in np.split(order, range(CHUNK, len(order), CHUNK)):
                    batches = [chunk[batch] for batch in equal_length_batches(lengths[chunk], batch_size)]
                    scores = list(workers.map(lambda rows: self._forward(encoded, rows), batches))
                    yield [titles[i] for i in np.concatenate(batches)], np.concatenate(scores)
        finally:
            torch.set_num_threads(n_workers)

    def _forward(self, encoded: dict[str, list[list[int]]], rows: IntArray) -> FloatArray:
        """Score titles of equal length; repeats some if they are fewer than `MIN_ROWS`."""
        import torch

        padded = np.resize(rows, max(len(rows), MIN_ROWS))
        with torch.inference_mode():  # of this thread alone
            inputs = {name: torch.tensor([values[row] for row in padded]) for name, values in encoded.items()}
            logits: torch.Tensor = self._network(**inputs).logits  # (rows, labels)
            probability = logits.double().softmax(dim=1)
            scores: FloatArray = (probability[:, self._positive] - probability[:, self._negative]).numpy()
        return scores[: len(rows)]


def equal_length_batches(lengths: IntArray, batch_size: int) -> list[IntArray]:
    """Put positions of equal length together, at most `batch_size` in a batch; the largest batches come first."""
    batches = []
    for length in np.unique(lengths):
        positions = np.flatnonzero(lengths == length)
        batches += np.split(positions, range(batch_size, len(positions), batch_size))
    return sorted(batches, key=lambda batch: -len(batch) * int(lengths[batch[0]]))


def _unfit(name: str, expected: str, got: str) -> MarketError:
    return MarketError(f"{name}: expected a {expected}, {got}; choose another model.")


def _fetch(name: str) -> Path:
    """Fetch a model repo's files from the Hub, or give the copy that is on this machine."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise MarketError(
            f"{name}: expected a folder with a model, or a model repo of the Hub (user/name); correct it."
        )
    import httpx2
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        folder = Path(snapshot_download(name, allow_patterns=[*_FILES, _SAFE_WEIGHTS]))
        if not any(folder.glob(_SAFE_WEIGHTS)):
            folder = Path(snapshot_download(name, allow_patterns=[*_FILES, _PICKLED_WEIGHTS]))
        return folder
    except (HfHubHTTPError, httpx2.HTTPError, OSError, ValueError) as error:  # what a server says may hold the token
        reason = "no connection to the Hub and no complete copy on this machine"
        if (answer := getattr(error, "response", None)) is not None:
            reason = f"the Hub's answer {answer.status_code} (no such repo, or no right to read it)"
    raise MarketError(
        f"{name}: expected a folder with a model, or a model repo of the Hub that can be fetched, got {reason}; "
        "correct it, or fetch the model where there is a network and give its folder."
    )


def _identity(folder: Path) -> str:
    patterns = (*_FILES, _SAFE_WEIGHTS if any(folder.glob(_SAFE_WEIGHTS)) else _PICKLED_WEIGHTS)
    digest = hashlib.sha256(_METHOD.encode())
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern)}):
        with path.open("rb") as file:
            digest.update(f"\n{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}".encode())
    return digest.hexdigest()
