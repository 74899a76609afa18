"""Every environment variable, read once and validated; nothing else reads the environment."""

import os
import re
import shlex
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from brain_assets.errors import SettingsError
from brain_assets.market.calendar import FIRST_DATE
from brain_assets.paths import DataPath, parse_place
from brain_assets.plugins import Brought, Plugin, join, load_plugins
from brain_assets.registry import Families, gather
from brain_assets.store.names import is_repo_name, is_token


def _place(value: Any) -> DataPath:
    return parse_place(value) if isinstance(value, str) else value


def _split(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


_Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """What a process was started with; frozen."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    plugins: _Names = Field((), alias="BRAIN_PLUGINS")
    """Modules that bring families of models, or something else of their own, beside ours, separated by commas."""
    market: str = Field("live", alias="BRAIN_MARKET")
    """Where data comes from: ``sample``, or a market that a plug-in brings, as our own live, files and simulator."""
    data_dir: Annotated[DataPath, PlainValidator(_place)] = Field(Path("data"), alias="BRAIN_DATA_DIR")
    """Root of everything written at run time: a folder, or a URL of anything that fsspec knows."""
    symbols: _Names = Field((), alias="BRAIN_SYMBOLS")
    """The universe, separated by commas; empty: the market's default list."""
    first_year: int = Field(2016, alias="BRAIN_FIRST_YEAR", ge=FIRST_DATE.year + 1)
    """First year of data."""
    bootstrap_years: int = Field(4, alias="BRAIN_BOOTSTRAP_YEARS", ge=2)
    """Years in the first partition: a model needs one to validate on and at least one to train on."""
    last_year: int | None = Field(None, alias="BRAIN_LAST_YEAR")
    """Years after it are left out; None: the last complete year that the market has."""
    files_dir: Path | None = Field(None, alias="BRAIN_FILES_DIR")
    """Folder of the market ``files``."""
    edgar_identity: str | None = Field(None, alias="BRAIN_EDGAR_IDENTITY")
    """Who asks SEC EDGAR, ``Name mail@example.org``, as its rules want; ``none``: market `live` has no fundamentals."""
    storage_backend: Literal["local", "hf"] = Field("local", alias="STORAGE_BACKEND")
    """Where snapshots are kept: on this machine, or on the Hugging Face Hub as well."""
    hf_token: SecretStr | None = Field(None, alias="HF_TOKEN")
    """Token of the Hub; None: what `hf auth login` has stored, if anything. Never printed."""

    engine: str = Field("local", alias="BRAIN_ENGINE")
    """Whose workers do years of assets: ``local``, processes of this machine, or ``ray``, those of a cluster."""
    cluster_config: Path | None = Field(None, alias="BRAIN_CLUSTER_CONFIG")
    """YAML file that says what workers ask of the cluster; None: see `brain_assets.cluster.pool.ClusterConfig`."""

    owners: _Names = Field((), alias="BRAIN_OWNERS")
    """Who answers for the assets, in Dagster's UI: mail addresses, or ``team:name``, separated by commas."""
    reports_url: str = Field("http://127.0.0.1:3001", alias="BRAIN_REPORTS_URL")
    """Where the folder of reports is reached: Dagster's UI links to them there, and `brain-assets ui` serves it."""

    dagster_home: Path | None = Field(None, alias="DAGSTER_HOME")
    """Dagster's instance; None: the command line keeps a persistent one in the data folder."""

    @field_validator("symbols")
    @classmethod
    def _no_repeats(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("expected each symbol once")
        return value

    @field_validator("owners")
    @classmethod
    def _are_owners(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"team:\S+|[^@:\s]+@[^@:\s]+\.\w+", owner) for owner in value):
            raise ValueError("expected mail addresses, or team:name")
        return value

    @field_validator("reports_url")
    @classmethod
    def _without_slash(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("expected an address that begins with http:// or https://")
        urlsplit(value).port  # noqa: B018 - raises what it says of one that cannot be
        return value.rstrip("/")

    @model_validator(mode="after")
    def _fits_together(self) -> "Settings":
        families = self.families.by_name
        for name, value, known in (
            ("BRAIN_MARKET", self.market, self.brought.markets),
            ("BRAIN_ENGINE", self.engine, self.brought.engines),
        ):
            if value not in known:
                raise ValueError(f"{name}: expected one of {', '.join(sorted(known))}, got {value!r}; correct it.")
        repos = self.model_repos
        if self.storage_backend == "hf":
            if self.hf_token is not None and not is_token(self.hf_token.get_secret_value()):
                raise ValueError(
                    "HF_TOKEN: expected printable ASCII characters without blanks, got others (not shown here); "
                    "correct it"
                )
            if missing := [_repo_variable(family) for family in families if family not in repos]:
                raise ValueError(
                    f"{', '.join(missing)}: expected a model repo each (user/name), as STORAGE_BACKEND is hf; got "
                    "nothing; set them, or STORAGE_BACKEND to local"
                )
            if len(set(repos.values())) < len(repos):
                raise ValueError(
                    "HF_*_MODEL_REPO: expected a repo of its own for every family, as branches are named by date "
                    f"alone; got {', '.join(repos.values())}; set different ones"
                )
        if self.market == "files" and self.files_dir is None:
            raise ValueError(
                "BRAIN_FILES_DIR: expected a folder of price files, as BRAIN_MARKET is files; got nothing; set it"
            )
        if self.last_year is not None and self.last_year < self.first_partition_year:
            raise ValueError(
                f"BRAIN_LAST_YEAR: expected {self.first_partition_year} (BRAIN_FIRST_YEAR + BRAIN_BOOTSTRAP_YEARS - 1) "
                f"or later, got {self.last_year}"
            )
        return self

    @cached_property
    def _loaded(self) -> Mapping[str, Plugin]:
        return load_plugins(self.plugins)

    @cached_property
    def families(self) -> Families:
        """The families of models: ours, and those of the plug-ins."""
        return gather(self._loaded)

    @cached_property
    def brought(self) -> Brought:
        """What the core and plug-ins bring beside families."""
        return join(self._loaded)

    @cached_property
    def model_repos(self) -> Mapping[str, str]:
        """The Hub repos of families, ``HF_<FAMILY>_MODEL_REPO``; needed for each if snapshots go to the Hub."""
        given = {name: os.environ.get(_repo_variable(name)) for name in self.families.by_name}
        repos = {name: repo for name, repo in given.items() if repo}
        for name, repo in repos.items():
            if not is_repo_name(repo):
                raise ValueError(
                    f"{_repo_variable(name)}: expected a model repo of the Hub, user/name, got another text (not "
                    "shown: it may be a token); correct it."
                )
        return repos

    def differing_variables(self) -> dict[str, str]:
        """Give the environment variables that reproduce these settings: those that differ from their defaults.

        Secrets are not among them, nor mail addresses, on which no result depends.
        """
        differing = [name for name, field in Settings.model_fields.items() if getattr(self, name) != field.default]
        given = self._variables(name for name in differing if name not in ("edgar_identity", "owners"))
        return given | {_repo_variable(family): repo for family, repo in self.model_repos.items()}

    def command(self, words: str, *fields: str) -> str:
        """Write a line for a shell: a command with the settings that differ from their defaults, or some fields."""
        variables = self._variables(fields) if fields else self.differing_variables()
        return " ".join([*(f"{name}={shlex.quote(value)}" for name, value in variables.items() if value), words])

    def environment(self) -> dict[str, str]:
        """Give the environment of a process that shall see these settings: this one's, and what a caller changed."""
        return {**os.environ, **self._variables(Settings.model_fields)}

    def _variables(self, names: Iterable[str]) -> dict[str, str]:
        """Write fields as the environment has them; without secrets, and what is not set."""
        given = {str(Settings.model_fields[name].alias): getattr(self, name) for name in names}
        return {
            variable: ",".join(value) if isinstance(value, tuple) else str(value)
            for variable, value in given.items()
            if not (value is None or isinstance(value, SecretStr))
        }

    @property
    def first_partition_year(self) -> int:
        """The year whose partition holds the whole bootstrap window."""
        return self.first_year + self.bootstrap_years - 1


def read_settings(**overrides: Any) -> Settings:
    """Read the environment; fields that a command line gave win over it, and None is no override.

    Raises `SettingsError`: a sentence a wrong value, with the variable's name, what was expected and what came.
    """
    unknown = sorted(set(overrides) - set(Settings.model_fields))
    if unknown:
        raise SettingsError(f"expected settings among {', '.join(Settings.model_fields)}, got {', '.join(unknown)}.")
    aliases = {name: str(field.alias) for name, field in Settings.model_fields.items()}
    given = {aliases[name]: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingsError("; ".join(_sentence(dict(detail)) for detail in error.errors())) from error


def brought_commands() -> Mapping[str, str]:
    """Give the commands that plug-ins bring, whatever else the environment says; raises `PluginError`."""
    named = os.environ.get(str(Settings.model_fields["plugins"].alias), "")
    return join(load_plugins(_split(named))).commands


def _repo_variable(family: str) -> str:
    return f"HF_{family.upper()}_MODEL_REPO"


def _sentence(detail: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in detail["loc"])
    message = str(detail["msg"]).removeprefix("Value error, ")
    message = message[0].lower() + message[1:] if message.startswith("Input") else message
    if ", got " in message:
        return f"{place}: {message}; correct it." if place else message
    return f"{place}: {message}, got {detail['input']!r}; correct it." if place else message
