import json
import math
import re
from typing import Literal

import dagster as dg
import pydantic
import pytest

from brain_assets.configuration import ModelConfig, build, require
from brain_assets.errors import ConfigError
from brain_assets.portfolio.arithmetic import CONSTRAINTS, policy_options, read_policy_options
from brain_assets.portfolio.ppo import PpoConfig


class Sizes(ModelConfig):
    units: int = pydantic.Field(8, ge=2, le=1_024, multiple_of=2, description="Units.")
    rate: float = pydantic.Field(0.5, gt=0, description="Rate.")
    kind: Literal["raw", "ranked"] = pydantic.Field("raw", description="Kind.")

    @pydantic.model_validator(mode="after")
    def _fits(self) -> "Sizes":
        require(self.kind == "raw" or self.units < 9, "units", "less than 9 with kind ranked", self.units)
        return self


def test_values_come_back_as_they_were_and_a_copy_is_checked() -> None:
    config = Sizes(units=4, rate=4)  # an integer is taken for a float
    assert build(Sizes, json.loads(json.dumps(config.model_dump())), complete=True) == config
    assert (type(config.rate), build(Sizes, {})) == (float, Sizes())
    assert config.replace(units=6) == Sizes(units=6, rate=4.0)
    with pytest.raises(ConfigError, match=r"^units: expected greater than or equal to 2"):
        config.replace(units=0)
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        config.units = 4
    policy = PpoConfig(hidden=8)
    assert read_policy_options(PpoConfig, json.loads(json.dumps(policy_options(policy)))) == (policy, CONSTRAINTS)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"units": True}, "units: expected a valid integer, got True;"),
        ({"units": 8.0}, "units: expected a valid integer, got 8.0;"),
        ({"units": 2_000}, "units: expected less than or equal to 1024, got 2000;"),
        ({"units": 3}, "units: expected a multiple of 2, got 3;"),
        ({"units": 10, "kind": "ranked"}, "units: expected less than 9 with kind ranked, got 10;"),
        ({"rate": "1"}, "rate: expected a valid number, got '1';"),
        ({"rate": math.nan}, "rate: expected a finite number, got nan;"),
        ({"rate": 10**400}, "rate: expected a valid number, got 1000"),
        ({"kind": "x" * 10_000}, "kind: expected 'raw' or 'ranked', got 'xxx"),
        ({3: 3}, "Sizes: expected keys among units, rate, kind, got '3'; remove them."),
        ({f"k{i}": i for i in range(9)}, "Sizes: expected keys among units, rate, kind, got 'k0', 'k1', 'k2' and 6 "),
        ({"units": 8, "rate": 1.0}, "Sizes: expected keys units, rate, kind, got none of kind; add them."),
    ],
)
def test_a_wrong_one_is_refused_in_one_sentence(values: dict, problem: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(problem)}") as caught:
        build(Sizes, values, complete="rate" in values and "units" in values)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"extra": 1}, "keys: expected training and rules, got ['extra', 'rules', 'training']"),
        ({"rules": []}, "rules: expected an object, got []"),
        ({"rules": {"min_cash": 0.1}}, "PortfolioConstraints: expected keys min_cash, max_weight, cost_bps, got none"),
        ({"training": {}}, "PpoConfig: expected keys"),
    ],
)
def test_policy_options_that_are_none_are_refused(change: dict, problem: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(problem)}"):
        read_policy_options(PpoConfig, {**policy_options(PpoConfig()), **change})


class SizesRun(Sizes, dg.Config):
    force: bool = False


def test_a_run_configuration_of_dagster_is_one_and_the_same() -> None:
    @dg.asset
    def sized(config: SizesRun) -> dict:
        return Sizes.of(config).model_dump()

    def run(values: dict) -> dg.ExecuteInProcessResult:
        return dg.materialize([sized], run_config={"ops": {"sized": {"config": values}}}, raise_on_error=False)

    assert run({"units": 4, "rate": 1, "force": True}).output_for_node("sized") == Sizes(units=4, rate=1.0).model_dump()
    with pytest.raises(dg.DagsterInvalidConfigError, match="not in enum type"):
        run({"kind": "other"})
    failure = run({"units": -4}).failure_data_for_node("sized")
    assert failure.error.cause.message.strip().endswith(
        "ConfigError: units: expected greater than or equal to 2, got -4; correct the run configuration."
    )
