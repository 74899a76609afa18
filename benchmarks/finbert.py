"""Headlines scored a second: ours against one at a time, on a network of FinBERT's size.

The network is a BERT of 12 layers and 768 units with random weights, since speed does not depend on them. The headlines
are made up of words that are one token each, as many as real headlines have: with the two at the ends, half of them are
longer than 16 tokens, and all have 6 to 48. The plain loop calls the tokenizer and the network headline by headline, on
as many threads as torch takes by itself; ours runs on as many.
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

from brain_assets.market.finbert import FinBertScorer

N_HEADLINES = 600
PLAIN_EVERY = 12
"""The plain loop reads every twelfth headline: its speed is the same, and the benchmark shorter."""
REPEATS = 3


def headlines(seed: int = 0) -> list[str]:
    random = np.random.default_rng(seed)
    n_tokens = np.clip(np.round(random.lognormal(np.log(16), 0.35, N_HEADLINES)), 6, 48).astype(int)
    return [" ".join(f"w{word}" for word in random.integers(0, 30_000, n - 2)) for n in n_tokens]


def save_random_finbert(folder: Path) -> None:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (folder / "vocab.txt").write_text("\n".join([*special, *(f"w{i}" for i in range(30_000))]))
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=512).save_pretrained(folder)
    labels = {0: "positive", 1: "negative", 2: "neutral"}
    torch.manual_seed(0)
    BertForSequenceClassification(BertConfig(id2label=labels, num_labels=3)).save_pretrained(folder)


def measure() -> tuple[float, float]:
    """Give headlines a second, ours and one at a time, medians of alternating repeats."""
    titles = headlines()
    with tempfile.TemporaryDirectory() as folder:
        save_random_finbert(Path(folder))
        scorer = FinBertScorer(folder)
        tokenizer = BertTokenizerFast.from_pretrained(folder)
        network = BertForSequenceClassification.from_pretrained(folder).eval()
        scorer(titles[:1])  # load

        def plain(texts: list[str]) -> np.ndarray:
            with torch.inference_mode():
                logits = [network(**tokenizer(text, return_tensors="pt")).logits[0] for text in texts]
            probability = torch.stack(logits).double().softmax(dim=1).numpy()
            return probability[:, 0] - probability[:, 1]

        ours_speed, plain_speed = [], []
        for _ in range(REPEATS):
            started = time.perf_counter()
            ours_result = scorer(titles)
            ours_speed.append(N_HEADLINES / (time.perf_counter() - started))
            some = titles[::PLAIN_EVERY]
            started = time.perf_counter()
            plain_result = plain(some)
            plain_speed.append(len(some) / (time.perf_counter() - started))
        np.testing.assert_allclose(ours_result[::PLAIN_EVERY], plain_result, rtol=0, atol=1e-6)
    return statistics.median(ours_speed), statistics.median(plain_speed)
