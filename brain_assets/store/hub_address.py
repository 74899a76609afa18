"""Where a family's snapshots are on the Hugging Face Hub; knows nothing of the Hub's client."""

from dataclasses import dataclass, field

from pydantic import SecretStr

from brain_assets.errors import HubError
from brain_assets.settings import Settings
from brain_assets.store.names import is_repo_name, is_token


@dataclass(frozen=True)
class HubAddress:
    """A model repo.

    Attributes
    ----------
    repo : str
        ``user/name``.
    token : SecretStr or None
        None: what the Hub client finds (``HF_TOKEN``, or what `hf auth login` has stored).
    endpoint : str or None
        None: ``HF_ENDPOINT``, else the Hub itself.
    """

    repo: str
    token: SecretStr | None = field(default=None, repr=False)
    endpoint: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be asked."""
        if not is_repo_name(self.repo):
            raise HubError(f"repo: expected a model repo of the Hub, user/name, got {self.repo!r}; correct it.")
        if self.token is not None and not is_token(self.token.get_secret_value()):
            raise HubError(
                f"{self.repo}: expected a token of printable ASCII characters without blanks, got others (not shown "
                "here); correct it."
            )


def hub_address(settings: Settings, family: str) -> HubAddress | None:
    """Give the repo of a family; None: snapshots stay on this machine."""
    repo = settings.model_repo(family)
    return HubAddress(repo, settings.hf_token) if settings.storage_backend == "hf" and repo else None
