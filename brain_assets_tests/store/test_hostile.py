"""Snapshots of strangers: folders that verify, since their manifests match, and whose content is refused."""

import builtins
import copyreg
import dataclasses
import functools
import importlib
import io
import json
import operator
import os
import pickle
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from brain_assets.errors import SnapshotError
from brain_assets.forecasting.lstm import LstmConfig
from brain_assets.forecasting.patchtst import PatchTstConfig
from brain_assets.forecasting.training import train_snapshot
from brain_assets.forecasting.walkforward import build_forecast_features
from brain_assets.market.prices import PricePanel
from brain_assets.market.weekly import WeeklyBars
from brain_assets.portfolio.policies import train_policy_snapshot, training_weeks
from brain_assets.portfolio.ppo import PpoConfig
from brain_assets.portfolio.sac import SacConfig
from brain_assets.store.folder import MANIFEST, PAYLOAD, verify, write_folder
from brain_assets.store.model_snapshot import ModelSnapshot
from brain_assets.store.names import FAMILIES, cutoff_of_year
from brain_assets.store.scaler_file import dump_scaler, load_scaler
from brain_assets_tests.conftest import MADE_UP, TINY_PPO, TINY_SAC
from brain_assets_tests.portfolio.toy_results import NO_MODELS

CUTOFF = cutoff_of_year(2018)


@pytest.fixture(scope="module")
def snapshots(panel: PricePanel, tiny_lstm: LstmConfig, tiny_patchtst: PatchTstConfig) -> Mapping[str, ModelSnapshot]:
    weeks = training_weeks(
        WeeklyBars.from_panel(panel), build_forecast_features(panel, range(2016, 2019), NO_MODELS), "ppo", CUTOFF
    )
    return {
        "lstm": train_snapshot("lstm", panel, CUTOFF, tiny_lstm, MADE_UP),
        "patchtst": train_snapshot("patchtst", panel, CUTOFF, tiny_patchtst, MADE_UP),
        "ppo": train_policy_snapshot("ppo", weeks, CUTOFF, PpoConfig(**TINY_PPO), MADE_UP),
        "sac": train_policy_snapshot("sac", weeks, CUTOFF, SacConfig(**TINY_SAC), MADE_UP),
    }


class Stranger:
    """Writes folders that verify, with one thing changed."""

    def __init__(self, folder: Path, snapshots: Mapping[str, ModelSnapshot]) -> None:
        self.folder, self._snapshots = folder, snapshots

    def write(self, family: str, metadata: Callable[[dict], object] = lambda _: None, **files: bytes) -> Path:
        """Change ``weights_pt``, ``feature_scaler_pkl``, ... and the metadata."""
        self._snapshots[family].save(self.folder)
        payload = {name: (self.folder / name).read_bytes() for name in PAYLOAD}
        manifest = json.loads((self.folder / MANIFEST).read_bytes())
        metadata(manifest)
        changed = {name: files.pop(name.replace(".", "_"), content) for name, content in payload.items()}
        assert not files
        write_folder(self.folder, changed, manifest)
        assert verify(self.folder) is None
        return self.folder

    def refusal(self, family: str, metadata: Callable[[dict], object] = lambda _: None, **files: bytes) -> str:
        """Load what `write` writes; gives the sentence of the refusal, after the folder."""
        folder = self.write(family, metadata, **files)
        with pytest.raises(SnapshotError) as caught:
            ModelSnapshot.load(folder)
        message = str(caught.value)
        assert message.startswith(f"{folder}/")
        sentence = message.removeprefix(f"{folder}/")
        assert sentence.endswith("; do not use this snapshot.")
        assert "\n" not in sentence
        assert len(sentence) < 600
        return sentence


@pytest.fixture
def stranger(tmp_path: Path, snapshots: Mapping[str, ModelSnapshot]) -> Stranger:
    return Stranger(tmp_path / "snapshot-2018-12-31", snapshots)


@pytest.mark.parametrize("family", FAMILIES)
def test_unchanged_folder_loads(stranger: Stranger, snapshots: Mapping[str, ModelSnapshot], family: str) -> None:
    """Without this, every other test here could pass for the wrong reason."""
    loaded = ModelSnapshot.load(stranger.write(family))
    assert loaded.config == snapshots[family].config
    for name, weights in snapshots[family].state_dict.items():
        assert torch.equal(loaded.state_dict[name], weights)
    again = stranger.folder.parent / "again"
    loaded.save(again)
    for name in (*PAYLOAD, MANIFEST):
        assert (again / name).read_bytes() == (stranger.folder / name).read_bytes(), name


# ---- feature_scaler.pkl


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call

    def __call__(self) -> None:
        """Stands here for pickle, which lets a call stand only where something callable does."""


def named(module: str, name: str, *arguments: object) -> bytes:
    """Pickle a call of a name that is looked up by STACK_GLOBAL, such as numpy's ``ndarray.__class__``."""

    def text(value: str) -> bytes:
        return pickle.SHORT_BINUNICODE + bytes([len(value.encode())]) + value.encode()

    parts = b"".join(pickle.dumps(argument, protocol=4)[2:-1] for argument in arguments)  # less PROTO and STOP
    call = pickle.MARK + parts + pickle.TUPLE + pickle.REDUCE
    return pickle.PROTO + b"\x04" + text(module) + text(name) + pickle.STACK_GLOBAL + call + pickle.STOP


def old_style(module: str, name: str, argument: str) -> bytes:
    """Pickle a call by the instructions of protocol 0: GLOBAL and REDUCE."""
    return f"c{module}\n{name}\n(V{argument}\ntR.".encode()


def in_a_scaler(part: object) -> StandardScaler:
    scaler = StandardScaler().fit(np.random.default_rng(0).normal(size=(20, 5)))
    scaler.scale_ = part
    return scaler


def gadgets(marker: Path) -> dict[str, tuple[object, str]]:
    """Give pickles, or what to pickle, that would create the marker; and the name each must be refused for."""
    command, python = f"touch {marker}", f"open({str(marker)!r}, 'w').close()"
    system = Call(importlib.import_module, "os")
    stored = str(marker.with_suffix(".stored"))
    return {
        "os.system": (named("os", "system", command), "os.system"),
        "posix.system": (Call(os.system, command), "posix.system"),
        "subprocess.Popen": (Call(subprocess.Popen, ["touch", str(marker)]), "subprocess.Popen"),
        "eval": (Call(builtins.eval, python), "builtins.eval"),
        "exec": (Call(builtins.exec, python), "builtins.exec"),
        "getattr": (Call(Call(builtins.getattr, system, "system"), command), "builtins.getattr"),
        "import_module": (system, "importlib.import_module"),
        "path": (Call(Path.touch, marker), "Path.touch"),
        "nested in a dict": ({"scaler": [(1, Call(os.system, command))]}, "posix.system"),
        "attribute of a scaler": (in_a_scaler(Call(os.system, command)), "posix.system"),
        "numpy's runstring": (named("numpy.testing._private.utils", "runstring", python, {}), "runstring"),
        "numpy.f2py": (named("numpy.f2py", "compile", command), "numpy.f2py.compile"),
        "numpy.distutils": (named("numpy.distutils.exec_command", "exec_command", command), "exec_command"),
        "numpy.load": (Call(np.load, stored, None, True), "numpy.load"),
        "numpy.fromfile": (named("numpy", "fromfile", stored), "numpy.fromfile"),
        "joblib.load": (Call(joblib.load, stored), "joblib.numpy_pickle.load"),
        "sklearn.utils": (named("sklearn.utils._testing", "check_output", command), "sklearn.utils._testing"),
        "sklearn's os": (named("sklearn.externals._arff", "os.system", command), "sklearn.externals._arff"),
        "attrgetter": (Call(Call(operator.attrgetter("system"), system), command), "operator.attrgetter"),
        "methodcaller": (Call(operator.methodcaller("touch"), marker), "operator.methodcaller"),
        "partial": (Call(functools.partial(os.system, command)), "functools.partial"),
        "dotted ndarray": (named("numpy", "ndarray.__class__", "X"), "numpy.ndarray.__class__"),
        "dotted scaler": (
            named("sklearn.preprocessing._data", "StandardScaler.__init__.__globals__"),
            "StandardScaler.__init__",
        ),
        "dotted reconstruct": (
            named("numpy._core.multiarray", "_reconstruct.__globals__", "os"),
            "_reconstruct.__globals__",
        ),
        "copyreg": (Call(copyreg._reconstructor, dict, dict, None), "copyreg._reconstructor"),
        "copyreg extension": (named("copyreg", "add_extension", "os", "system", 1), "copyreg.add_extension"),
        "protocol 0": (old_style("os", "system", command), "os.system"),
        "instance": (f"(S'{command}'\nios\nsystem\n.".encode(), "os.system"),
    }


GADGETS = sorted(gadgets(Path("marker")))
HARMLESS_HERE = {
    *("import_module", "numpy.f2py", "numpy.distutils", "numpy.fromfile", "sklearn.utils", "sklearn's os"),
    *("dotted ndarray", "dotted scaler", "dotted reconstruct", "copyreg", "copyreg extension"),
}
"""Steps towards running something, or names that this machine's libraries no longer have."""


def pickled(name: str, marker: Path) -> tuple[bytes, str]:
    """Give a gadget's bytes and the name it asks for; what it would read lies there."""
    marker.with_suffix(".stored").write_bytes(pickle.dumps(Call(os.system, f"touch {marker}")))
    content, asked = gadgets(marker)[name]
    return content if isinstance(content, bytes) else pickle.dumps(content), asked


@pytest.mark.parametrize("name", [name for name in GADGETS if name not in HARMLESS_HERE])
def test_gadget_runs_where_nobody_refuses_it(tmp_path: Path, name: str) -> None:
    made = pickle.loads(pickled(name, tmp_path / "marker")[0])
    if isinstance(made, subprocess.Popen):
        made.wait()
    assert (tmp_path / "marker").exists()


@pytest.mark.parametrize("name", GADGETS)
def test_pickle_that_asks_for_anything_else_is_refused_before_it_runs(
    stranger: Stranger, tmp_path: Path, name: str
) -> None:
    content, asked = pickled(name, tmp_path / "marker")
    sentence = stranger.refusal("lstm", feature_scaler_pkl=content)
    assert sentence.startswith("feature_scaler.pkl: expected a fitted StandardScaler, got a pickle that asks for ")
    assert asked in sentence
    assert not (tmp_path / "marker").exists()


def of_scaler(**changes: object) -> bytes:
    """Pickle a scaler of five features with some attributes changed; None: without it."""
    scaler = StandardScaler().fit(np.random.default_rng(0).normal(size=(20, 5)))
    scaler.__dict__.update(changes)
    for name in [name for name, value in changes.items() if value is None]:
        del scaler.__dict__[name]
    return dump_scaler(scaler)


def array(*values: float, kind: str = "f8") -> np.ndarray:
    return np.array(values, dtype=kind)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "a broken pickle"),
        (b"nonsense", "a broken pickle"),
        (of_scaler()[:-40], "a broken pickle"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "a broken pickle"),  # BINBYTES8 of 2**63 bytes
        (b"\x80\x04" + b")" * 3 + b"R.", "a broken pickle"),
        (b"\x80\x04]r\xff\xff\xff\xff.", "a pickle with the instruction LONG_BINPUT"),  # a memo of 32 GB
        (b"\x80\x04\x82\x01.", "a pickle with the instruction EXT1"),
        (b"\x80\x04" + b")" + b"\x85" * 10_000_000 + b".", "10,000,004"),  # nested until the interpreter breaks
        (b"\x80\x04" + b"}" + b")" + b"\x85" * 19_000 + b"K\x01s.", "dict"),
        (pickle.dumps(3), "int"),
        (pickle.dumps(np.ones(5), protocol=4), "Array"),
        (dump_scaler(StandardScaler()), "one with others, or not all of them"),
        (dump_scaler(MinMaxScaler()), "sklearn.preprocessing._data.MinMaxScaler"),
        (of_scaler(feature_names_in_=array(1.0)), "one with others, or not all of them"),
        (of_scaler(var_=None), "one with others, or not all of them"),
        (of_scaler(with_mean=False), "another one"),
        (of_scaler(with_std=1), "another one"),
        (of_scaler(mean_=array(1, 2, 3, NAN, 5)), "not finite"),
        (of_scaler(scale_=array(1, 2, 3, INF, 5)), "not finite"),
        (of_scaler(scale_=array(1, 2, 3, 0, 5)), "0.0"),
        (of_scaler(scale_=array(1, 2, 3, -4, 5)), "-4.0"),
        (of_scaler(scale_=array(1, 2, 3)), "lengths of 5, 5 and 3"),
        (of_scaler(var_=array(1, 2, 3)), "lengths of 5, 3 and 5"),
        (of_scaler(mean_=array(1, 2, 3)), "lengths of 3, 5 and 5"),
        (of_scaler(n_features_in_=4), "lengths of 5, 5 and 5"),
        (of_scaler(n_features_in_=10**5000), "lengths of 5, 5 and 5"),
        (of_scaler(n_features_in_=True), "lengths of 5, 5 and 5"),
        (of_scaler(mean_=array(1, 2, 3, 4, 5, kind="f4")), "another type or shape"),
        (of_scaler(mean_=array(1, 2, 3, 4, 5, kind=">f8")), "another type or shape"),
        (of_scaler(mean_=array(1, 2, 3, 4, 5, kind="i8")), "another type or shape"),
        (of_scaler(mean_=np.array([[1], [os.sep]], dtype=object)), "another type or shape"),
        (of_scaler(mean_=np.ones((5, 1))), "another type or shape"),
        (of_scaler(mean_=[1.0, 2.0, 3.0, 4.0, 5.0]), "list"),
        (of_scaler(mean_=array()), "0 bytes for another length"),
        (of_scaler().replace(b"K\x05\x85", b"K\x06\x85"), "40 bytes for another length"),
        (of_scaler(n_samples_seen_=-3), "int"),
        (of_scaler(n_samples_seen_=np.float64(-3)), "Number"),
        (of_scaler(n_samples_seen_=np.float64(NAN)), "Number"),
        (of_scaler(n_samples_seen_=array(20, 20, 20, 20, 20)), "Array"),
    ],
)
def test_anything_but_a_whole_scaler_is_refused(stranger: Stranger, content: bytes, got: str) -> None:
    sentence = stranger.refusal("lstm", feature_scaler_pkl=content)
    assert sentence.startswith("feature_scaler.pkl: expected ")
    assert got in sentence.partition(", got ")[2]


@pytest.mark.parametrize(("family", "n_features"), [("lstm", 3), ("lstm", 6), ("patchtst", 5), ("ppo", 5)])
def test_scaler_of_another_number_of_features_is_refused(stranger: Stranger, family: str, n_features: int) -> None:
    content = dump_scaler(StandardScaler().fit(np.random.default_rng(0).normal(size=(20, n_features))))
    expected = {"lstm": 5, "patchtst": 12, "ppo": 10}[family]
    assert stranger.refusal(family, feature_scaler_pkl=content) == (
        f"feature_scaler.pkl: expected a scaler of {expected} features, got one of {n_features}; do not use this "
        "snapshot."
    )


@pytest.mark.parametrize(
    ("family", "other", "config_class"),
    [("lstm", "patchtst", "PatchTstConfig"), ("patchtst", "lstm", "LstmConfig"), ("ppo", "sac", "SacConfig")],
)
def test_a_model_under_the_name_of_a_sister_family_is_refused(
    stranger: Stranger, family: str, other: str, config_class: str
) -> None:
    sentence = stranger.refusal(family, lambda manifest: manifest.update(family=other))
    assert sentence.startswith(f"config.json: {config_class}: expected keys among")


def test_scaler_that_was_fitted_in_pieces_comes_back_the_same() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)
    whole = StandardScaler()
    for part in np.split(rows, 5):
        whole.partial_fit(part)
    for scaler in (whole, StandardScaler().fit(rows)):
        loaded = load_scaler(dump_scaler(scaler))
        np.testing.assert_array_equal(loaded.transform(rows), scaler.transform(rows))
        assert dump_scaler(loaded) == dump_scaler(scaler)


# ---- weights.pt


def stored(value: object) -> bytes:
    content = io.BytesIO()
    torch.save(value, content)
    return content.getvalue()


def rewritten(data: bytes, change: Callable[[str, bytes], bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Write an archive anew, with its entries changed."""
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(content, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return content.getvalue()


@pytest.mark.parametrize("legacy", [False, True])
def test_weights_with_objects_are_refused_without_running_them(
    stranger: Stranger, tmp_path: Path, legacy: bool
) -> None:
    marker = tmp_path / "marker"
    content = io.BytesIO()
    gadget = {"lstm": Call(os.system, f"touch {marker}")}
    torch.save(gadget, content, _use_new_zipfile_serialization=not legacy)
    sentence = stranger.refusal("lstm", weights_pt=content.getvalue())
    assert sentence.startswith("weights.pt: expected plain tensors, got ")
    assert not marker.exists()
    torch.load(io.BytesIO(content.getvalue()), weights_only=False)
    assert marker.exists()  # it would have run


def test_compressed_weights_are_refused_before_they_unpack(stranger: Stranger) -> None:
    bomb = rewritten(stored({"a": torch.zeros(5_000_000)}), lambda name, data: data, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000  # of 20 MB
    assert stranger.refusal("lstm", weights_pt=bomb) == (
        "weights.pt: expected plain tensors, stored as they are, got a compressed archive; do not use this snapshot."
    )


def test_archive_whose_entries_share_their_bytes_is_refused(stranger: Stranger) -> None:
    data = stored({"a": torch.zeros(100_000)})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        directory, n_entries = archive.start_dir, len(archive.namelist())
    end = data.rindex(b"PK\x05\x06")
    records = data[directory:end].partition(b"PK\x06\x06")[0] * 50
    tail, count = bytearray(data[end:]), (50 * n_entries).to_bytes(2, "little")
    tail[8:10], tail[10:12] = count, count
    tail[12:16], tail[16:20] = len(records).to_bytes(4, "little"), directory.to_bytes(4, "little")
    bomb = data[:directory] + records + bytes(tail)
    assert len(zipfile.ZipFile(io.BytesIO(bomb)).namelist()) == 50 * n_entries
    sentence = stranger.refusal("lstm", weights_pt=bomb)
    assert sentence.startswith("weights.pt: expected plain tensors, got a file of ")
    assert "that would unpack to 20," in sentence


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "no archive of them"),
        (b"PK\x03\x04 and nothing more", "no archive of them"),
        (b"MZ" + stored({}), "no archive of them"),
        (stored({}) + b"more", "no archive of them"),
        (b"PK\x03\x04" + b"PK\x05\x06" + b"\xff" * 16 + b"\0\0", "an archive with a broken directory"),
        (rewritten(stored({}), lambda name, data: b""), "what cannot be read as such"),
        (rewritten(stored({}), lambda name, data: data + bytes(70_000)), "70,"),
        (stored([torch.zeros(1)]), "list"),
        (stored(torch.zeros(1)), "Tensor"),
        (stored({1: torch.zeros(1)}), "Tensor under 1"),
        (stored({"a": 3}), "int under 'a'"),
        (stored({"a": {"b": torch.zeros(1)}}), "dict under 'a'"),
        (stored({"a": torch.nn.Parameter(torch.zeros(1))}), "Parameter under 'a'"),
        (stored({"a": torch.zeros(3).to_sparse()}), "another kind of tensor under 'a'"),
        (stored({"a": torch.zeros(3, device="meta")}), "another kind of tensor under 'a'"),
        (stored({"a": torch.zeros(1).expand(10**12)}), "more numbers than the file has"),
        (stored({str(i): torch.zeros(1000) for i in range(3)} | {"z": bytearray(3)}), "bytearray under 'z'"),
    ],
)
def test_anything_but_plain_tensors_is_refused(stranger: Stranger, content: bytes, got: str) -> None:
    sentence = stranger.refusal("lstm", weights_pt=content)
    assert sentence.startswith("weights.pt: expected ")
    assert got in sentence.partition(", got ")[2]


def test_views_of_one_memory_do_not_multiply(stranger: Stranger) -> None:
    shared = torch.zeros(100_000)
    content = stored({f"w{i}": shared.view(100, 1000) for i in range(200)})
    assert len(content) < 1_000_000
    assert "got more numbers than the file has" in stranger.refusal("lstm", weights_pt=content)


def changed(snapshot: ModelSnapshot, **changes: torch.Tensor | None) -> bytes:
    state_dict = {**snapshot.state_dict, **{name.replace("__", "."): value for name, value in changes.items()}}
    return stored({name: value for name, value in state_dict.items() if value is not None})


@pytest.mark.parametrize(
    ("family", "changes", "sentence"),
    [
        ("lstm", {"head__weight": None}, "expected the weights head.weight, got none"),
        ("lstm", {"extra": torch.zeros(1)}, "got 'extra'"),
        (
            "lstm",
            {"head__weight": torch.zeros(1, 5)},
            "expected head.weight float32 (1, 4), as config.json says, got float32 (1, 5)",
        ),
        ("lstm", {"head__weight": torch.zeros(4)}, "got float32 (4,)"),
        ("lstm", {"head__weight": torch.zeros(1, 4, dtype=torch.float64)}, "got float64 (1, 4)"),
        ("lstm", {"head__bias": torch.tensor([NAN])}, "expected finite numbers in head.bias, got some that are not"),
        ("lstm", {"lstm__bias_hh_l0": torch.full((16,), INF)}, "expected finite numbers in lstm.bias_hh_l0"),
        ("ppo", {"score__bias": None}, "expected the weights score.bias, got none"),
        ("ppo", {"actor__own__weight": torch.zeros(9, 9)}, "float32 (8, 8), as config.json says, got float32 (9, 9)"),
        ("ppo", {"log_std": torch.tensor([0.0, NAN])}, "expected finite numbers in log_std"),
    ],
)
def test_weights_that_are_not_the_networks_are_refused(
    stranger: Stranger,
    snapshots: Mapping[str, ModelSnapshot],
    family: str,
    changes: dict[str, torch.Tensor | None],
    sentence: str,
) -> None:
    got = stranger.refusal(family, weights_pt=changed(snapshots[family], **changes))
    assert got.startswith("weights.pt: ")
    assert sentence in got


def test_configuration_of_another_network_is_refused(
    stranger: Stranger, snapshots: Mapping[str, ModelSnapshot]
) -> None:
    config = {**snapshots["lstm"].config, "hidden_size": 8}
    sentence = stranger.refusal("lstm", config_json=json.dumps(config).encode())
    assert "float32 (32, 5), as config.json says, got float32 (16, 5)" in sentence


# ---- config.json


def config_json(snapshot: ModelSnapshot, **changes: object) -> bytes:
    return json.dumps({**snapshot.config, **changes}).encode()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"units": 3}, "LstmConfig: expected keys among window, "),
        ({"hidden_size": 10**9}, "hidden_size: expected at most 1,024 units, got 1000000000"),
        ({"n_layers": 10**6}, "n_layers: expected at most 8 layers"),
        ({"window": 10**12}, "window: expected at most 1,000 sessions"),
        ({"window": "60"}, "window: expected an integer, got '60'"),
        ({"window": True}, "window: expected an integer, got True"),
        ({"clip": NAN}, "clip: expected a finite number, got nan"),
        ({"target": ["raw"]}, "target: expected a text, got ['raw']"),
        ({"target": "x" * 10**6}, "target: expected one of raw, demeaned, ranked, got 'xxx"),
        ({"x" * 10**6: 1}, "LstmConfig: expected keys among window, "),
    ],
)
def test_forecaster_configuration_that_is_none_is_refused(
    stranger: Stranger, snapshots: Mapping[str, ModelSnapshot], changes: dict[str, object], problem: str
) -> None:
    sentence = stranger.refusal("lstm", config_json=config_json(snapshots["lstm"], **changes))
    assert sentence.startswith(f"config.json: {problem}")


def test_configuration_without_a_key_is_refused(stranger: Stranger, snapshots: Mapping[str, ModelSnapshot]) -> None:
    config = {name: value for name, value in snapshots["lstm"].config.items() if name != "clip"}
    assert "got none of clip" in stranger.refusal("lstm", config_json=json.dumps(config).encode())


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"training": {"hidden": 10**9}}, "PpoConfig: expected keys"),
        ({"training": {**dataclasses.asdict(PpoConfig()), "hidden": 10**9}}, "hidden: expected at most 1,024 units"),
        ({"rules": {"min_cash": 0.0, "max_weight": 99, "cost_bps": 0}}, "max_weight: expected a share in (0, 1]"),
        ({"rules": None}, "rules: expected an object, got None"),
        ({"more": 1}, "keys: expected training and rules"),
    ],
)
def test_policy_configuration_that_is_none_is_refused(
    stranger: Stranger, snapshots: Mapping[str, ModelSnapshot], changes: dict[str, object], problem: str
) -> None:
    sentence = stranger.refusal("ppo", config_json=config_json(snapshots["ppo"], **changes))
    assert sentence.startswith(f"config.json: {problem}")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "expected JSON, got what cannot be read as such"),
        (b"\xff\xfe", "expected JSON, got what cannot be read as such"),
        (b"[]", "expected an object, got list"),
        (b"null", "expected an object, got NoneType"),
        (b"[" * 100_000, "expected JSON, got what cannot be read as such"),
        (b'{"window": ' + b"9" * 5_000 + b"}", "expected JSON, got what cannot be read as such"),
    ],
)
def test_configuration_that_is_no_object_is_refused(
    stranger: Stranger, family: str, content: bytes, problem: str
) -> None:
    assert stranger.refusal(family, config_json=content).startswith(f"config.json: {problem}")


def test_configuration_of_another_family_is_refused(stranger: Stranger, snapshots: Mapping[str, ModelSnapshot]) -> None:
    lstm = stranger.refusal("lstm", config_json=config_json(snapshots["ppo"]))
    assert lstm.startswith("config.json: LstmConfig: expected keys among window")
    ppo = stranger.refusal("ppo", config_json=config_json(snapshots["lstm"]))
    assert ppo.startswith("config.json: keys: expected training and rules")


# ---- metadata.json and README.md


def put(path: str, value: Any) -> Callable[[dict], object]:
    """Set, or by Ellipsis remove, what stands at a path such as ``training.curve``."""

    def change(manifest: dict) -> None:
        *above, last = path.split(".")
        inner: Any = functools.reduce(lambda values, key: values[key], above, manifest)
        if value is ...:
            del inner[last]
        else:
            inner[last] = value

    return change


@pytest.mark.parametrize(
    ("family", "path", "value", "problem"),
    [
        ("lstm", "family", "gru", "expected family to be one of lstm, patchtst, ppo, sac, got 'gru'"),
        ("lstm", "family", ..., "expected family to be one of lstm, patchtst, ppo, sac, got None"),
        ("lstm", "family", ["lstm"], "expected family to be one of lstm, patchtst, ppo, sac, got ['lstm']"),
        ("lstm", "family", "ppo", "expected data.first_week, got nothing"),
        ("lstm", "cutoff_date", "2018-02-31", "expected cutoff_date to be a date such as 2019-12-31, got '2018-02-31'"),
        ("lstm", "cutoff_date", "20181231", "expected cutoff_date to be a date"),
        ("lstm", "cutoff_date", 2018, "expected cutoff_date to be a date such as 2019-12-31, got 2018"),
        ("lstm", "cutoff_date", ..., "expected cutoff_date, got nothing"),
        ("lstm", "fingerprint", "abc", "expected fingerprint to be an object, got str"),
        ("lstm", "fingerprint.value", ..., "expected fingerprint.value, got nothing"),
        ("lstm", "fingerprint.value", "../../etc", "expected fingerprint.value to be 64 hexadecimal digits"),
        ("lstm", "market", 3, "expected market to be a text, got 3"),
        ("lstm", "caveat", ..., "expected caveat, got nothing"),
        ("lstm", "training", ..., "expected training, got nothing"),
        ("lstm", "training.best_epoch", -1, "expected training.best_epoch to be an integer >= 0, got -1"),
        ("lstm", "training.train_loss", NAN, "expected training.train_loss to be a finite number, got nan"),
        ("lstm", "training.train_loss", True, "expected training.train_loss to be a finite number, got True"),
        ("lstm", "training.curve", {}, "expected training.curve to be a list, got dict"),
        ("lstm", "training.curve", [{"epoch": 1}], "expected training.curve[0].train, got nothing"),
        ("lstm", "training.curve", [3], "expected training.curve[0] to be an object, got int"),
        ("lstm", "data", None, "expected data to be an object, got NoneType"),
        ("lstm", "data.symbols", "AAA", "expected data.symbols to be a list of names, got 'AAA'"),
        ("lstm", "data.symbols", ["A", 3], "expected data.symbols to be a list of names, got ['A', 3]"),
        ("lstm", "data.first_session", "then", "expected data.first_session to be a date"),
        ("lstm", "device", "tpu", "expected device to be cpu or cuda, got 'tpu'"),
        ("ppo", "device", None, "expected device to be cpu or cuda, got None"),
        ("lstm", "device", "cuda", "expected gpu, got nothing"),
        ("lstm", "forecast_scale", INF, "expected forecast_scale to be a finite number >= 0, got inf"),
        ("lstm", "forecast_scale", "1", "expected forecast_scale to be a finite number >= 0, got '1'"),
        ("lstm", "forecast_scale", ..., "expected forecast_scale, got nothing"),
        ("ppo", "training.annual_growth", None, "expected training.annual_growth to be a finite number, got None"),
        ("ppo", "training.curve", [{"steps": 1.5, "reward": 0}], "expected training.curve[0].steps to be an integer"),
        ("ppo", "data.n_weeks", "many", "expected data.n_weeks to be an integer >= 0, got 'many'"),
    ],
)
def test_metadata_without_what_is_needed_later_is_refused(
    stranger: Stranger, family: str, path: str, value: object, problem: str
) -> None:
    assert stranger.refusal(family, put(path, value)).startswith(f"metadata.json: {problem}")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_snapshot_from_before_there_were_devices_loads(stranger: Stranger, family: str) -> None:
    assert "device" not in ModelSnapshot.load(stranger.write(family, put("device", ...))).metadata


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_said_of_a_gpu_is_looked_at(stranger: Stranger, family: str) -> None:
    gpu = {"name": "A GPU", "loss": 0.0, "gradient": 1e-6, "tolerance": 1e-4}

    def made_on(**changes: object) -> Callable[[dict], object]:
        return lambda manifest: manifest.update(device="cuda", gpu={**gpu, **changes})

    assert ModelSnapshot.load(stranger.write(family, made_on())).metadata["gpu"] == gpu
    for name, value in (("name", 3), ("loss", "0"), ("gradient", NAN), ("tolerance", -1.0)):
        sentence = stranger.refusal(family, made_on(**{name: value}))
        assert sentence.startswith(f"metadata.json: expected gpu.{name} to be a ")


def test_rank_correlations_that_there_are_none_of_are_no_reason_to_refuse(stranger: Stranger) -> None:
    ModelSnapshot.load(stranger.write("lstm", put("training.validation_rank_correlation", None)))
    ModelSnapshot.load(stranger.write("ppo", put("training.forecast_rank_correlation", None)))


def test_card_that_is_no_text_is_refused(stranger: Stranger) -> None:
    assert stranger.refusal("lstm", README_md=b"\xff").startswith("README.md: expected UTF-8 text, got byte 0")


def test_errors_name_the_place_that_is_given(stranger: Stranger) -> None:
    folder = stranger.write("lstm")
    payload = {name: (folder / name).read_bytes() for name in PAYLOAD}
    metadata = json.loads((folder / MANIFEST).read_bytes())
    assert ModelSnapshot.from_payload("ada/lstm, branch x", payload, metadata).cutoff_date == CUTOFF
    with pytest.raises(SnapshotError, match=r"^ada/lstm, branch x/config\.json: expected JSON"):
        ModelSnapshot.from_payload("ada/lstm, branch x", {**payload, "config.json": b""}, metadata)
    assert metadata["family"] == "lstm"  # the caller's own is left alone
