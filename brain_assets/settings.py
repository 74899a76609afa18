"""Every environment variable, read once and validated; nothing else reads the environment."""

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from brain_assets.errors import SettingsError
from brain_assets.market.calendar import FIRST_DATE
from brain_assets.market.registry import MARKETS


class Settings(BaseSettings):
    """What a process was started with; frozen."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    market: Literal[MARKETS] = Field("live", alias="BRAIN_MARKET")  # type: ignore[valid-type]
    """Where data comes from."""
    data_dir: Path = Field(Path("data"), alias="BRAIN_DATA_DIR")
    """Root of everything written at run time."""
    symbols: Annotated[tuple[str, ...], NoDecode] = Field((), alias="BRAIN_SYMBOLS")
    """The universe, separated by commas; empty: the market's default list."""
    first_year: int = Field(2016, alias="BRAIN_FIRST_YEAR", ge=FIRST_DATE.year + 1)
    """First year of data."""
    bootstrap_years: int = Field(4, alias="BRAIN_BOOTSTRAP_YEARS", ge=2)
    """Years in the first partition: a model needs one to validate on and at least one to train on."""
    last_year: int | None = Field(None, alias="BRAIN_LAST_YEAR")
    """Years after it are left out; None: the last complete year that the market has."""
    files_dir: Path | None = Field(None, alias="BRAIN_FILES_DIR")
    """Folder of the market ``files``."""
    storage_backend: Literal["local"] = Field("local", alias="STORAGE_BACKEND")
    """Where snapshots are kept."""

    dagster_home: Path | None = Field(None, alias="DAGSTER_HOME")
    """Dagster's instance; None: the command line keeps a persistent one in the data folder."""

    @field_validator("symbols", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("symbols")
    @classmethod
    def _no_repeats(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("expected each symbol once")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> "Settings":
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

    def differing_variables(self) -> dict[str, str]:
        """Give the environment variables that reproduce these settings: those that differ from their defaults."""
        values = {name: getattr(self, name) for name, field in Settings.model_fields.items() if name in self._given}
        return {
            str(Settings.model_fields[name].alias): ",".join(value) if isinstance(value, tuple) else str(value)
            for name, value in values.items()
        }

    @property
    def _given(self) -> set[str]:
        return {name for name in self.model_fields_set if getattr(self, name) != Settings.model_fields[name].default}

    @property
    def first_partition_year(self) -> int:
        """The year whose partition holds the whole bootstrap window."""
        return self.first_year + self.bootstrap_years - 1


def read_settings(**overrides: Any) -> Settings:
    """Read the environment.

    Parameters
    ----------
    **overrides
        Fields of `Settings` that a command line gave; they win over the environment. None is no override.

    Raises
    ------
    SettingsError
        One sentence a wrong value, with the variable's name, what was expected and what came.
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


def _sentence(detail: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in detail["loc"])
    message = str(detail["msg"]).removeprefix("Value error, ")
    message = message[0].lower() + message[1:] if message.startswith("Input") else message
    return f"{place}: {message}, got {detail['input']!r}; correct it." if place else message


@lru_cache(maxsize=1)
def current_settings() -> Settings:
    """Give the settings of this process: the environment as it was when first asked for."""
    return read_settings()
