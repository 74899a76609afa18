"""Scores of headlines by a real, tiny BERT that the tests make: what they are, how they are kept, what is refused."""

import logging
import math
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

from brain_assets.errors import MarketError
from brain_assets.market.finbert import MIN_ROWS, FinBertScorer
from brain_assets.parquet import encode_table
from brain_assets_tests.loopback_hub import LoopbackHub

WORDS = [f"w{i}" for i in range(40)]
LABELS = ("positive", "negative", "neutral")
MAX_TOKENS = 32
REPO = "user/tiny-finbert"


def save_model(folder, labels=LABELS, seed=0, safe=True):
    """Save a BERT of random weights, with scores that differ well from title to title, and its tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=512)
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=MAX_TOKENS,
        id2label=dict(enumerate(labels)),
    )
    torch.manual_seed(seed)
    network = BertForSequenceClassification(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter *= 8 if parameter.dim() == 2 else 1
    network.save_pretrained(folder)
    if not safe:
        torch.save(network.state_dict(), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
    return network, tokenizer


def some_titles(n, seed=0, most=20):
    """Distinct titles of one word to `most`."""
    random = np.random.default_rng(seed)
    titles = {" ".join(random.choice(WORDS, random.integers(1, most + 1))) for _ in range(2 * n)}
    return sorted(titles)[:n]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    network, tokenizer = save_model(folder)
    return str(folder), network, tokenizer


def refusal(name):
    with pytest.raises(MarketError) as caught:
        FinBertScorer(str(name))(["w1 w2"])
    return str(caught.value)


# Scores


def test_a_score_is_the_probability_of_positive_less_that_of_negative(tmp_path):
    labels = ("Neutral", "NEGATIVE", "Positive")
    network, _ = save_model(tmp_path, labels)
    chances = {"positive": 0.7, "negative": 0.1, "neutral": 0.2}
    with torch.no_grad():  # the same for every title: the logits are the biases
        network.classifier.weight.zero_()
        network.classifier.bias.copy_(torch.tensor([math.log(chances[label.lower()]) for label in labels]))
    network.save_pretrained(tmp_path)
    scores = FinBertScorer(str(tmp_path))(["w1", "w2 w3 and unknown words", "w1"])
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, [0.6, 0.6, 0.6], rtol=0, atol=1e-6)


def test_scores_are_those_of_one_headline_at_a_time_whatever_its_neighbours(model, monkeypatch):
    passes = []
    forward = BertForSequenceClassification.forward

    def watched(self, input_ids, **others):
        passes.append(input_ids)
        return forward(self, input_ids, **others)

    monkeypatch.setattr(BertForSequenceClassification, "forward", watched)
    folder, network, tokenizer = model
    before = torch.get_num_threads()
    titles = some_titles(25)
    torch.set_num_threads(1)  # several wait for each other where the machine is busy
    with torch.inference_mode():
        logits = [network(**tokenizer(title, return_tensors="pt")).logits[0] for title in titles]
    torch.set_num_threads(before)
    probability = torch.stack(logits).double().softmax(dim=1).numpy()
    expected = dict(zip(titles, probability[:, 0] - probability[:, 1], strict=True))
    passes.clear()
    assert np.ptp([*expected.values()]) > 0.1  # they do differ
    for chosen, batch_size in ((titles[:1], 32), (titles[::-1], 5), (titles, 1)):
        scores = FinBertScorer(folder, batch_size)(chosen)
        np.testing.assert_allclose(scores, [expected[title] for title in chosen], rtol=0, atol=1e-6)
    assert torch.get_num_threads() == before
    assert all(len(rows) >= MIN_ROWS for rows in passes)
    assert not any((rows == tokenizer.pad_token_id).any() for rows in passes)  # nothing is padded


def test_a_long_title_is_cut_off_at_what_the_network_reads_with_a_warning(model, caplog):
    title = " ".join(["w1"] * (MAX_TOKENS - 2))
    scores = FinBertScorer(model[0], batch_size=1)([title, f"{title} w2 w3"])  # rows of a batch may round apart
    assert scores[0] == scores[1]
    FinBertScorer(model[0])([title.removeprefix("w1 ")])
    assert caplog.messages == [f"news: 2 of 2 titles have {MAX_TOKENS} tokens or more; no more is read."]


# The cache


def cached(folder):
    files = list(folder.glob("*"))
    assert all(path.suffix == ".parquet" and not path.name.startswith(".") for path in files)
    return files


def test_what_was_scored_before_is_not_scored_again(model, tmp_path, caplog):
    titles = some_titles(10)
    first = FinBertScorer(model[0], cache=tmp_path)(titles)
    (path,) = cached(tmp_path)
    with caplog.at_level(logging.INFO, "brain_assets"):
        np.testing.assert_array_equal(FinBertScorer(model[0], cache=tmp_path)(titles[::-1]), first[::-1])
        assert caplog.messages == []
        FinBertScorer(model[0], cache=tmp_path)([*titles, "w1 w1 w1"])
        assert caplog.messages == ["news: 11 of 11 headlines scored"]
    frame = pd.read_parquet(path)
    assert len(frame) == 11
    path.write_bytes(encode_table(frame.assign(score=0.125)))
    assert FinBertScorer(model[0], cache=tmp_path)(titles).tolist() == [0.125] * 10


def test_scores_of_another_model_or_of_a_damaged_file_are_never_taken(tmp_path, caplog):
    titles, cache = some_titles(5), tmp_path / "cache"
    results = []
    for seed in (0, 1):  # the second is trained anew, under the same name
        save_model(tmp_path / "model", seed=seed)
        results.append(FinBertScorer(str(tmp_path / "model"), cache=cache)(titles))
        np.testing.assert_array_equal(FinBertScorer(str(tmp_path / "model"))(titles), results[-1])
    assert not np.isclose(*results).any()
    assert len(cached(cache)) == 2
    for path in cached(cache):
        pd.read_parquet(path).assign(score=2.0).to_parquet(path, index=False)
    np.testing.assert_array_equal(FinBertScorer(str(tmp_path / "model"), cache=cache)(titles), results[1])
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"][-1].endswith(
        ".parquet: expected a cache of scores, got a damaged file; its headlines are scored again."
    )


# What is refused


NONE = "expected a classifier and its tokenizer as save_pretrained writes them, got: "


def test_a_folder_without_a_whole_model_with_our_labels_is_refused(tmp_path):
    assert refusal(tmp_path).startswith(f"{tmp_path}: {NONE}")
    save_model(tmp_path, ("positive", "neutral", "mixed"))
    assert refusal(tmp_path) == (
        f"{tmp_path}: expected a classifier with the labels positive and negative, got positive, neutral, mixed; "
        "choose another model."
    )
    save_model(tmp_path)[0].bert.save_pretrained(tmp_path)
    expected = "expected a trained classifier, got no weights for classifier.bias, classifier.weight; choose"
    assert expected in refusal(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"cut off")
    assert NONE in refusal(tmp_path)


class Evil:
    """Runs code when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_code_that_a_model_brings_along_in_a_pickle_or_beside_it_is_not_run(tmp_path):
    network, _ = save_model(tmp_path, safe=False)
    assert np.isfinite(FinBertScorer(str(tmp_path))(["w1"])).all()  # tensors alone are fine
    torch.save({**network.state_dict(), "evil": Evil(tmp_path / "pwned")}, tmp_path / "pytorch_model.bin")
    assert NONE in refusal(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(tmp_path / "pwned")))
    assert NONE in refusal(tmp_path)
    save_model(tmp_path)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'pwned')!r}, 'w')")
    mapping = '{"auto_map": {"AutoConfig": "evil.Config", "AutoModelForSequenceClassification": "evil.Model"},'
    config = config.replace("{", mapping, 1).replace('"model_type": "bert"', '"model_type": "x"')
    (tmp_path / "config.json").write_text(config)
    assert NONE in refusal(tmp_path)
    assert not (tmp_path / "pwned").exists()


# The Hub


NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hub at which the client looks, and an empty folder for what it fetches; its `look_at` sends it elsewhere."""
    from huggingface_hub import constants

    def look_at(endpoint):
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)

    with LoopbackHub() as server:
        server.look_at = look_at
        look_at(server.endpoint)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "fetched"))
        yield server


def test_a_model_is_fetched_once_and_then_found_without_a_network(tmp_path, hub):
    save_model(tmp_path / "model", safe=False)
    files = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    hub.add_repo(REPO)
    hub.put(REPO, "main", {**files, "tf_model.h5": b"not asked for"})
    titles = some_titles(5)
    scores = FinBertScorer(REPO, cache=tmp_path / "cache")(titles)
    np.testing.assert_array_equal(scores, FinBertScorer(str(tmp_path / "model"))(titles))
    assert not any("tf_model" in request.line for request in hub.requests)
    hub.look_at(NOBODY)
    np.testing.assert_array_equal(FinBertScorer(REPO)(titles), scores)
    (path,) = cached(tmp_path / "cache")
    assert path.name.startswith("user-tiny-finbert-")


def test_a_model_that_cannot_be_had_is_refused_in_one_sentence(hub):
    expected = f"{REPO}: expected a folder with a model, or a model repo of the Hub that can be fetched, got "
    advice = "; correct it, or fetch the model where there is a network and give its folder."
    assert refusal(REPO) == f"{expected}the Hub's answer 404 (no such repo, or no right to read it){advice}"
    hub.look_at(NOBODY)
    assert refusal(REPO) == f"{expected}no connection to the Hub and no complete copy on this machine{advice}"
