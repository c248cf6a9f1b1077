"""Checks whether a run can become a bundle; `edgeaff train` does so before the first step, `edgeaff export` at the end.

| system | features | sizes |
|---|---|---|
| `edge` | preset `edge`, the encoder of the base bundle | what the native step takes; a band of 2 ticks or more |
| `transformer_av` | preset `paper` | at least one layer |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from edgeaff.backends.native import NativeStep
from edgeaff.bundle import ModelBundle
from edgeaff.errors import ArgumentError, BackendUnavailableError, BundleError, SpecMismatchError
from edgeaff.export.pack_step import pack_step
from edgeaff.spec import paper_spec_of
from edgeaff.training.features.cache import statistics_id
from edgeaff.training.features.recipe import encoder_id_of
from edgeaff.training.models.transformer import AudioVideoTransformer

SYSTEMS = ("edge", "transformer_av")
LEAST_BAND = 2


def check_exportable(
    system: str, module: nn.Module, features: Mapping[str, Any], *, base: ModelBundle, statistics: Mapping[str, Any]
) -> None:
    """Checks that a run, trained or not yet, can become a bundle.

    Args:
        system: name in the registry.
        module: its network, trained or not.
        features: the cache's record of its features: fingerprint, encoder_id, statistics.
        base: bundle that gives detector, statistics and encoder.
        statistics: of the LLDs, as the bundle will hold them.

    Raises:
        ArgumentError: bundles hold no such system, or none of these sizes.
        SpecMismatchError: the features were made otherwise than the bundle will make them.
    """
    if system not in SYSTEMS:
        raise ArgumentError(f"run must be of {' or '.join(SYSTEMS)}, got {system}; bundles hold no other system.")
    _check_features(system, features, base, statistics)
    _check_sizes(system, module)


def check_transformer(system: nn.Module) -> None:
    """Checks that a system is the paper's audio-visual transformer with at least one layer.

    Raises:
        ArgumentError: it is not.
    """
    if not isinstance(system, AudioVideoTransformer):
        raise ArgumentError(
            f"system must be the transformer with cross-modal fusion, got {type(system).__name__}; export transformer_av."
        )
    if not len(system.video.layers):
        raise ArgumentError("system must have at least one encoder layer to become a bundle, got none; correct sizes.")


def _check_features(system: str, features: Mapping[str, Any], base: ModelBundle, statistics: Mapping[str, Any]) -> None:
    """Checks that what a run learns from is what its bundle will make; encoder and statistics where the run states them.

    Raises:
        SpecMismatchError: they differ, or the run does not say what its features were made for.
    """
    if "fingerprint" not in features:
        raise SpecMismatchError(
            f"run must say what its features were made for (fingerprint, encoder_id), got {dict(features)}; train with `edgeaff train` "
            "on a cache of `edgeaff extract`: the runs behind a table are there to be compared."
        )
    made_for = {"edge": base.spec.fingerprint, "transformer_av": paper_spec_of(base.spec).fingerprint}
    presets = dict(zip(made_for.values(), ("edge", "paper"), strict=True))
    wanted, found = made_for[system], features["fingerprint"]
    if found != wanted and found in presets:
        other = next(name for name in SYSTEMS if made_for[name] == found)
        raise SpecMismatchError(
            f"features of a run of {system} must be of preset {presets[wanted]} to become a bundle, got preset {presets[found]}; extract "
            f"with --preset {presets[wanted]} into another folder, or train {other}."
        )
    if found != wanted:
        raise SpecMismatchError(
            f"fingerprint of the run's features must be {wanted} (bundle), got {found} (run); name the bundle that they were extracted "
            "with (--bundle)."
        )
    encoder = encoder_id_of(base) if system == "edge" else None
    if encoder is not None and features.get("encoder_id", encoder) != encoder:
        raise SpecMismatchError(
            f"encoder_id of the run's features must be {encoder} (bundle), got {features['encoder_id']} (run); name the bundle that they "
            "were extracted with (--bundle), or extract without --vggface: a bundle of edge holds the bundle's encoder."
        )
    digest = statistics_id(statistics)
    if features.get("statistics", digest) != digest:
        raise SpecMismatchError(
            f"statistics of the run's features must be {digest} (bundle), got {features['statistics']} (run); name the folder of the "
            "features (--features), which holds theirs, or the bundle (--bundle)."
        )


def _check_sizes(system: str, module: nn.Module) -> None:
    """Checks that the graphs and packed weights of a bundle take the sizes of a network.

    Raises:
        ArgumentError: they do not.
    """
    if system != "edge":
        check_transformer(module)
        return
    config: Any = module.config
    if config.band < LEAST_BAND:
        raise ArgumentError(f"band must be at least {LEAST_BAND} to become a bundle, got {config.band}; correct sizes.")
    weights = {name: value.detach().cpu().numpy() for name, value in module.state_dict().items()}
    try:
        NativeStep(pack_step(weights, num_heads=config.num_heads))
    except BackendUnavailableError:
        return  # not built here: the export asks again
    except BundleError as error:
        raise ArgumentError(
            f"sizes must be what the native step takes to become a bundle (head size and ffn_size multiples of 16), got {config}: "
            f"{error}"
        ) from error
