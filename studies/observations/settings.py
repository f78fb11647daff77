"""What a twin study may vary: numbers of truths and members, steps, networks and methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from data.errors import UserError
from data.observations import Quantity
from studies.twins import check_least, check_names

PROFILES = {"profiles_12": 12, "profiles_40": 40, "profiles_120": 120}
SECTION, SURFACE = "section", "surface_temperature"
NETWORKS = {
    "profiles_12": "12 profiles",
    "profiles_40": "40 profiles",
    "profiles_120": "120 profiles",
    SECTION: "meridional section",
    SURFACE: "surface temperature",
}
ERRORS: dict[Quantity, float] = {"temperature": 0.1, "salinity": 0.02}  # of measurements
DEEPEST = 2000.0  # m, of profiles
PASSES = 4  # of the ensemble smoother
# Of the training states' variance that optimal interpolation keeps. It takes the
# rest for zero, and with less than nearly all trusts its analyses too much.
COMPONENTS_SHARE = 0.9999
# Distance at which localised covariances vanish [km]: best CRPS of T of 12 and 40 profiles on two
# validation states of the quickstart, of 3000, 6000, 9000, 14 000 and 28 000.
LOCALISATION_KM = 14_000.0

PRIOR, CLIMATOLOGY, RECONSTRUCTED = "prior", "training_states", "autoencoded_truth"
INTERPOLATED, LOCALISED = "optimal_interpolation", "localised_interpolation"
SMOOTHED_LATENTS, SMOOTHED_FIELDS = "es_mda_latents", "es_mda_fields"
SMOOTHED_NOISE = "es_mda_noise"
KNOWN, UNKNOWN, GUIDED = "known_conditions", "unknown_conditions", "guided_adjusted"
LABELS = {
    PRIOR: "no observations, known conditions",
    CLIMATOLOGY: "training states",
    INTERPOLATED: "optimal interpolation",
    LOCALISED: "ensemble OI, localised",
    SMOOTHED_FIELDS: "ES-MDA, fields",
    SMOOTHED_LATENTS: "ES-MDA, latents",
    SMOOTHED_NOISE: "ES-MDA, noise of the chain",
    UNKNOWN: "ours",
    GUIDED: "ours, guided, adjusted",
    KNOWN: "ours, known conditions",
    RECONSTRUCTED: "autoencoded truth",
}


@dataclass(frozen=True)
class TwinSettings:
    """Settings of a study.

    truths: number of true states, spread over the members of the `split`; members: states of each
    method for one truth; steps: of our chains; smoother_members: training states, or noises, that
    ES-MDA updates; localisation_km: distance at which localised covariances vanish; networks: of
    observations; only: methods; seed: of all random numbers
    """

    truths: int = 3
    members: int = 12
    steps: int = 60
    smoother_members: int = 128
    localisation_km: float = LOCALISATION_KM
    networks: Sequence[str] = tuple(NETWORKS)
    only: Sequence[str] = tuple(LABELS)
    split: str = "test"
    seed: int = 0

    def __post_init__(self) -> None:
        check_least(self, {"truths": 1, "members": 2, "steps": 1, "smoother_members": 2})
        if not self.localisation_km > 0:
            raise UserError(f"localisation is {self.localisation_km:g} km: give more than 0")
        check_names("network of observations", self.networks, NETWORKS)
        check_names("method", self.only, LABELS)

    def as_dict(self) -> dict[str, Any]:
        """The settings, ready for JSON."""
        return asdict(self) | {"networks": list(self.networks), "only": list(self.only)}
