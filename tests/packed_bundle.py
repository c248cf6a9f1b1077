"""The shipped bundle with exact face graphs and packed networks, whether or not it ships so."""

from __future__ import annotations

import dataclasses
from functools import cache

from edgeaff.backends.native_face import FACE_NETS
from edgeaff.bundle import ModelBundle, pack_arrays


@cache
def packed_bundle() -> ModelBundle:
    """Returns the bundle; packs it, without a certificate, where it ships without networks (needs onnx)."""
    bundle = ModelBundle.load()
    if FACE_NETS in bundle.members:
        return bundle
    from edgeaff.export.face_graphs import exact_front, snap_image_layer
    from edgeaff.export.pack_face import pack_face

    detector = snap_image_layer(bundle.graph_bytes("face_detector"))
    encoder = exact_front(bundle.graph_bytes("face_encoder"))
    names = bundle.manifest.graphs
    members = {**bundle.members, names["face_detector"]: detector, names["face_encoder"]: encoder}
    members[FACE_NETS] = pack_arrays(pack_face(detector, encoder))
    return dataclasses.replace(bundle, members=members)


def without_nets(bundle: ModelBundle) -> ModelBundle:
    """Returns a bundle as older ones are: ONNX graphs alone."""
    members = {name: data for name, data in bundle.members.items() if name != FACE_NETS}
    return dataclasses.replace(bundle, members=members)
