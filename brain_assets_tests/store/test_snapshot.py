"""Snapshots of strangers: folders that verify, since their manifests match, and whose content is refused."""

import functools
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from brain_assets import registry
from brain_assets.errors import SnapshotError
from brain_assets.forecasting.lstm import LstmConfig
from brain_assets.forecasting.patchtst import PatchTstConfig
from brain_assets.forecasting.training import train_snapshot
from brain_assets.forecasting.walkforward import build_forecast_features
from brain_assets.market.calendar import complete_weeks
from brain_assets.market.prices import PricePanel
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.portfolio.policies import train_policy_snapshot, training_weeks
from brain_assets.portfolio.ppo import PpoConfig
from brain_assets.portfolio.sac import SacConfig
from brain_assets.store.manifest import CARD, CONFIG, MANIFEST, MODEL, SCALER, WEIGHTS, build, render_json
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets.store.weights import SCALER_NAMES, write_arrays
from brain_assets_tests.conftest import MADE_UP, TINY_PPO, TINY_SAC

CUTOFF = cutoff_of_year(2018)
NAN, INF = float("nan"), float("inf")
FAMILIES = ("lstm", "patchtst", "ppo", "sac")

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def snapshots(
    panel: PricePanel, tiny_lstm: LstmConfig, tiny_patchtst: PatchTstConfig, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, ModelSnapshot]:
    empty = {"lstm": SnapshotLocalStorage("lstm", tmp_path_factory.mktemp("empty"))}
    forecasts = build_forecast_features(panel, range(2016, 2019), empty)
    weeks = training_weeks(WeeklyPanel.from_panel(panel), forecasts, "ppo", CUTOFF, PpoConfig())
    return {
        "lstm": train_snapshot("lstm", panel, CUTOFF, tiny_lstm, MADE_UP),
        "patchtst": train_snapshot("patchtst", panel, CUTOFF, tiny_patchtst, MADE_UP),
        "ppo": train_policy_snapshot("ppo", weeks, CUTOFF, PpoConfig(**TINY_PPO), MADE_UP),
        "sac": train_policy_snapshot("sac", weeks, CUTOFF, SacConfig(**TINY_SAC), MADE_UP),
    }


@pytest.fixture(scope="module")
def made(snapshots: Mapping[str, ModelSnapshot]) -> Mapping[str, Files]:
    return {family: snapshot.files for family, snapshot in snapshots.items()}


def forged(files: Files, metadata: Callable[[dict], object] = lambda _: None, **changes: bytes) -> Files:
    """Other ``weights_pt``, ``config_json``, ... and metadata, with a manifest that matches."""
    manifest = json.loads(files[MANIFEST])
    metadata(manifest)
    payload = {name: changes.pop(name.replace(".", "_"), data) for name, data in files.items() if name != MANIFEST}
    assert not changes
    return build(payload, manifest)


def refusal(files: Files, metadata: Callable[[dict], object] = lambda _: None, **changes: bytes) -> str:
    """Load what `forged` makes; gives the sentence of the refusal, after the place."""
    with pytest.raises(SnapshotError) as raised:
        ModelSnapshot.from_files("ada/lstm@x", forged(files, metadata, **changes))
    sentence = str(raised.value)
    assert sentence.startswith("ada/lstm@x/")
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert len(sentence) < 600
    return sentence.removeprefix("ada/lstm@x/")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_loads_as_it_was_and_what_lies_beside_the_model_holds_the_same(
    made: Mapping[str, Files], snapshots: Mapping[str, ModelSnapshot], tmp_path: Path, family: str, panel: PricePanel
) -> None:
    """Without this, every other test here could pass for the wrong reason."""
    snapshot, files = snapshots[family], made[family]
    snapshot.save(tmp_path / "one")
    loaded = ModelSnapshot.load(tmp_path / "one")
    assert (loaded.family, loaded.cutoff_date, loaded.card) == (family, CUTOFF, snapshot.card)
    assert (loaded.config, loaded.metadata, loaded.files) == (snapshot.config, snapshot.metadata, files)
    state_dict = torch.load(io.BytesIO(files[WEIGHTS]), weights_only=True)
    assert list(loaded.arrays) == list(snapshot.arrays) == [*state_dict, *SCALER_NAMES]
    for name, array in snapshot.arrays.items():
        np.testing.assert_array_equal(loaded.arrays[name], array, strict=True)
        if name in state_dict:
            np.testing.assert_array_equal(state_dict[name].numpy(), array, strict=True)
    scaler = pickle.loads(files[SCALER])
    mean, scale = (snapshot.arrays[name] for name in SCALER_NAMES[:2])
    assert type(scaler) is StandardScaler
    rows = np.random.default_rng(0).normal(size=(3, len(mean)))
    np.testing.assert_array_equal(scaler.transform(rows), (rows - mean) / scale)
    assert pickle.dumps(scaler, protocol=4) == files[SCALER]  # as if a fitted one had been pickled
    if family in registry.families_of().forecasters:
        weeks = complete_weeks(panel.sessions)
        weeks = weeks.select(weeks.year == 2021)
        np.testing.assert_array_equal(loaded.forecast(panel, weeks), snapshot.forecast(panel, weeks))


def test_values_that_json_has_not_are_not_written(snapshots: Mapping[str, ModelSnapshot], tmp_path: Path) -> None:
    for value in (NAN, INF, object()):
        bad = replace(snapshots["lstm"], metadata={**snapshots["lstm"].metadata, "more": value})
        with pytest.raises(SnapshotError, match="lstm snapshot-2018-12-31: expected a configuration and metadata of"):
            bad.save(tmp_path / "snapshot-2018-12-31")
    assert not list(tmp_path.iterdir())


# ---- weights.pt and feature_scaler.pkl are never opened


class Bomb:
    """Pickles as a call of a shell."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.system, ("touch was-here",)


BOMB = pickle.dumps(Bomb())


def test_a_bomb_beside_a_good_model_is_never_opened(
    made: Mapping[str, Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("archive/data.pkl", BOMB)
    for weights in (BOMB, archive.getvalue()):
        ModelSnapshot.from_files("here", forged(made["lstm"], weights_pt=weights, feature_scaler_pkl=BOMB))
    assert not (tmp_path / "was-here").exists()
    pickle.loads(BOMB)  # it goes off where somebody opens it
    assert (tmp_path / "was-here").exists()


# ---- model.safetensors


@pytest.mark.parametrize(
    ("family", "changes", "sentence"),
    [
        ("lstm", {"head.weight": np.zeros((1, 5), np.float32)}, "expected head.weight float32 (1, 4), as config.json"),
        ("ppo", {"actor.own.weight": np.zeros((9, 9), np.float32)}, "float32 (8, 8), as config.json says"),
        ("ppo", {"log_std": np.array([0.0, NAN], np.float32)}, "a usual size in log_std"),
        ("sac", {"scaler.scale": np.zeros(10)}, "a usual size in scaler.scale"),
        *(
            (family, dict.fromkeys(SCALER_NAMES[:3], np.ones(4)), f"expected a scaler of {n} features, got one of 4;")
            for family, n in (("lstm", 5), ("patchtst", 12), ("ppo", 10))
        ),
    ],
)
def test_arrays_that_are_not_the_familys_are_refused(
    made: Mapping[str, Files], snapshots: Mapping[str, ModelSnapshot], family: str, changes: dict[str, Any],
    sentence: str,
) -> None:  # fmt: skip
    got = refusal(made[family], model_safetensors=write_arrays({**snapshots[family].arrays, **changes}))
    assert got.startswith("model.safetensors: ")
    assert sentence in got


# ---- config.json


@pytest.mark.parametrize(
    ("family", "changes", "problem"),
    [
        ("lstm", {"units": 3}, ""),
        ("lstm", {"clip": ...}, "clip"),
        ("lstm", {"hidden_size": 10**9}, "hidden_size"),
        ("lstm", {"window": "60"}, "window"),
        ("lstm", {"target": ["raw"]}, "target"),
        ("ppo", {"training": {**PpoConfig().model_dump(), "hidden": 10**9}}, "hidden"),
        ("ppo", {"rules": {"min_cash": 0.0, "max_weight": 99, "cost_bps": 0}}, "max_weight"),
        ("ppo", {"more": 1}, "keys"),
        ("lstm", {"hidden_size": 8}, "float32 (32, 5), as config.json says, got float32 (16, 5)"),
    ],
)
def test_a_configuration_that_is_none_or_of_another_network_is_refused(
    made: Mapping[str, Files], snapshots: Mapping[str, ModelSnapshot], family: str, changes: dict[str, object],
    problem: str,
) -> None:  # fmt: skip
    values = {name: value for name, value in {**snapshots[family].config, **changes}.items() if value is not ...}
    sentence = refusal(made[family], config_json=render_json(values))
    assert sentence.startswith(("config.json: ", "model.safetensors: "))
    assert problem in sentence


def test_files_that_cannot_be_read_and_a_model_of_another_family_are_refused(made: Mapping[str, Files]) -> None:
    for content in (b"\xff\xfe", b"[]", b"[" * 100_000):
        assert refusal(made["lstm"], config_json=content).startswith("config.json: expected ")
    assert refusal(made["lstm"], README_md=b"\xff").startswith(
        "README.md: expected UTF-8 text, got bytes that are none"
    )
    for family, other in (("lstm", "patchtst"), ("ppo", "sac"), ("lstm", "ppo")):
        assert refusal(made[family], put("family", other)).startswith("config.json: ")


# ---- metadata.json and README.md


def put(path: str | Sequence[str], value: Any) -> Callable[[dict], object]:
    """Set, or by Ellipsis remove, what stands at a path such as ``training.curve``."""

    def change(manifest: dict) -> None:
        *above, last = path.split(".") if isinstance(path, str) else path
        inner: Any = functools.reduce(lambda values, key: values[key], above, manifest)
        if value is ...:
            del inner[last]
        else:
            inner[last] = value

    return change


@pytest.mark.parametrize(
    ("family", "path", "value", "problem"),
    [
        ("lstm", "family", "gru", "family to be one of lstm, patchtst, ridge, boosting, ppo, sac, direct"),
        ("lstm", "family", ..., "family to be one of lstm, patchtst, ridge, boosting, ppo, sac, direct"),
        ("lstm", "cutoff_date", "2018-02-31", "cutoff_date to be a date such as 2019-12-31, got '2018-02-31'"),
        ("lstm", "cutoff_date", ..., "cutoff_date, got nothing"),
        ("lstm", "fingerprint", "abc", "fingerprint to be an object, got str"),
        ("lstm", "fingerprint.value", "../../etc", "fingerprint.value to be 64 hexadecimal digits"),
        ("lstm", "market", 3, "market to be a text, got 3"),
        ("lstm", "training", ..., "training, got nothing"),
        ("lstm", "data.n_training_windows", -1, "data.n_training_windows to be an integer >= 0, got -1"),
        ("lstm", "training.train_loss", 1e300, "training.train_loss to be a finite number, got 1e+300"),
        ("lstm", "training.curve", [{"epoch": 1}], "training.curve[0].train, got nothing"),
        ("lstm", "data.symbols", ["A", 3], "data.symbols to be a list of names, got ['A', 3]"),
        ("lstm", "data.last_session", "2019-01-02", "data.last_session on or before the cut-off 2018-12-31"),
        ("lstm", "device", "tpu", "device to be cpu or cuda, got 'tpu'"),
        ("lstm", "forecast_scale", 10**400, "forecast_scale to be a number from 0 to 100, got 1000"),
        ("ppo", "training.cagr", None, "training.cagr to be a finite number, got None"),
        ("ppo", "training.curve", [{"steps": 1.5, "reward": 0}], "training.curve[0].steps to be an integer"),
    ],
)
def test_metadata_without_what_is_needed_later_is_refused(
    made: Mapping[str, Files], family: str, path: str, value: object, problem: str
) -> None:
    assert refusal(made[family], put(path, value)).startswith(f"metadata.json: expected {problem}")


def test_metadata_that_say_less_are_taken(made: Mapping[str, Files]) -> None:
    for family, correlation in (("lstm", "validation_rank_correlation"), ("ppo", "forecast_rank_correlation")):
        for path, value in (("device", ...), (f"training.{correlation}", None)):  # there may be none
            ModelSnapshot.from_files("x", forged(made[family], put(path, value)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20) | st.dates().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def paths(values: Mapping[str, Any], above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Where values stand; not what `build` writes anew."""
    found = []
    for key in set(values) - {"files", "sizes", "manifest"}:
        found += [(*above, key), *(paths(values[key], (*above, key)) if isinstance(values[key], dict) else [])]
    return sorted(found)


@pytest.mark.parametrize("family", ["lstm", "ppo"])
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_in_any_field_is_taken_or_refused_in_one_sentence(
    made: Mapping[str, Files], family: str, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from([CONFIG, MANIFEST]))
    values = json.loads(made[family][name])
    put(data.draw(st.sampled_from(paths(values))), data.draw(JSON | st.just(...)))(values)
    payload = {key: content for key, content in made[family].items() if key != MANIFEST}
    manifest = json.loads(made[family][MANIFEST])
    files = build({**payload, CONFIG: render_json(values)}, manifest) if name == CONFIG else build(payload, values)
    try:
        loaded = ModelSnapshot.from_files("x", files)
    except SnapshotError as error:
        sentence = str(error)
    else:
        sentence = f"x/{CARD}" if loaded.files == files else "other bytes"
    assert sentence.startswith((f"x/{CONFIG}: ", f"x/{MANIFEST}: ", f"x/{MODEL}: ", f"x/{CARD}"))
    assert "\n" not in sentence
