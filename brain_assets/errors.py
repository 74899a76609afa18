"""Errors that a user can act on: what was expected, what came, what to do."""


class BrainAssetsError(Exception):
    """Base of every error that this package raises on purpose."""


class SettingsError(BrainAssetsError):
    """An environment variable or a command-line option has a wrong value."""


class PluginError(SettingsError):
    """A family of models, or the module that should bring it, cannot be used."""


class MarketError(BrainAssetsError):
    """A market could not give what was asked of it."""


class RateLimitedError(MarketError):
    """The source asked us to slow down, and still did after the last retry."""


class UnknownSymbolError(MarketError):
    """The source does not know a symbol."""


class EmptyResponseError(MarketError):
    """The source answered, but with no rows for a symbol that it knows."""


class TableError(BrainAssetsError):
    """A table breaks its schema, or a year of it is not there."""


class DamagedTableError(TableError):
    """A table's file is not as it was written."""

    @classmethod
    def at(cls, path: object, found: str) -> "DamagedTableError":
        """Say which file, and what is wrong with it."""
        return cls(f"{path}: expected the table as it was written, got a damaged file ({found}); run the year again.")


class SnapshotError(BrainAssetsError):
    """A snapshot folder is absent, incomplete or not what it says."""


class MissingSnapshotError(SnapshotError):
    """There is no snapshot of that name."""


class SnapshotFileError(SnapshotError):
    """A file of a snapshot is not what it must be; `problem` says what was expected, and what came."""

    advice = "do not use this snapshot: train one with brain-assets backfill"

    def __init__(self, file: str, problem: str, place: str = "") -> None:
        super().__init__(file, problem, place)
        self.file, self.problem, self.place = file, problem, place

    def __str__(self) -> str:
        return f"{self.place and f'{self.place}/'}{self.file}: {self.problem}; {self.advice}."


class DamagedSnapshotError(SnapshotFileError):
    """A snapshot is there, but a file of it is absent, or not what the manifest says."""

    advice = "it is damaged: train it again with brain-assets backfill, or pull it"


class RefusedSnapshotError(SnapshotFileError):
    """What a repo of the Hub holds under a snapshot's name is not to be believed; nothing of it has run."""


class HubError(BrainAssetsError):
    """The Hugging Face Hub could not be reached, or would not do what was asked of it."""


class TrainingError(BrainAssetsError):
    """A training cannot start, or its loss is no longer a number."""


class LookAheadError(BrainAssetsError):
    """A model was asked about a week that its training data may have seen."""


class LateTrainingError(LookAheadError, SnapshotFileError):
    """A snapshot says of itself that it was trained on something after its cut-off."""


class PolicyError(BrainAssetsError):
    """A policy said what cannot be turned into weights."""


class ConfigError(BrainAssetsError):
    """A run configuration has an unknown key or an impossible value."""


class AllocationError(BrainAssetsError):
    """What a week's weights, or the trades to them, would have to rest on is too old, absent or wrong."""


class RunError(BrainAssetsError):
    """Some years of assets could not be made."""


class StorageError(BrainAssetsError):
    """The data folder cannot be used: read-only, full, of another market, or in a store that fails or refuses."""

    @classmethod
    def unwritable(cls, place: object, reason: object) -> "StorageError":
        """Say that a place cannot be written, and why."""
        return cls(
            f"{place}: expected a folder with room to write to, got: {reason}; free some space or set BRAIN_DATA_DIR "
            "to another folder."
        )
