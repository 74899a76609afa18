"""Where a family's snapshots are on the Hugging Face Hub; knows nothing of the Hub's client."""

from dataclasses import dataclass, field

from pydantic import SecretStr

from brain_assets.settings import Settings


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


def hub_address(settings: Settings, family: str) -> HubAddress | None:
    """Give the repo of a family; None: snapshots stay on this machine."""
    repo = settings.model_repo(family)
    return HubAddress(repo, settings.hf_token) if settings.storage_backend == "hf" and repo else None
