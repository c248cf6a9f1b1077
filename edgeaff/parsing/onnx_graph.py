"""Checks of an untrusted ONNX file, on its wire format, before an engine gets a byte.

An engine opens the files that a tensor names as external data, relative to the working folder and outside of every checksum,
and runs loops as often as the file states. Our graphs need neither.
"""

from __future__ import annotations

from edgeaff.errors import ArgumentError, BundleError
from edgeaff.parsing.boundary import Refused, shown
from edgeaff.parsing.protobuf import BYTES, fields

DOMAINS = (b"", b"ai.onnx", b"com.microsoft", b"edgeaff")
MOST_NODES = 100_000
# Field numbers of onnx.proto.
_MODEL_GRAPH, _MODEL_FUNCTION, _MODEL_TRAINING = 7, 25, 20
_GRAPH_NODE, _GRAPH_TENSORS, _GRAPH_SPARSE = 1, 5, 15
_FUNCTION_NODE = 7
_NODE_ATTRIBUTE, _NODE_DOMAIN = 5, 7
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = (5, 10), (6, 11), (22, 23)
_TENSOR_EXTERNAL, _TENSOR_LOCATION = 13, 14


def check_onnx(model: bytes) -> None:
    """Refuses an ONNX file that reaches outside of itself or that holds control flow.

    Args:
        model: the file.

    Raises:
        Refused: it is no ONNX file; or it has external or sparse tensors, subgraphs (loops, branches), training parts or
            operators of unknown domains.
    """
    view, graphs, nodes = memoryview(model), 0, 0
    try:
        for number, kind, value in fields(view):
            if number == _MODEL_TRAINING:
                raise Refused("an ONNX file with a training part")
            if number == _MODEL_GRAPH and kind == BYTES and not isinstance(value, int):
                graphs += 1
                nodes += _check_nodes(value, _GRAPH_NODE, tensors=True)
            elif number == _MODEL_FUNCTION and kind == BYTES and not isinstance(value, int):
                nodes += _check_nodes(value, _FUNCTION_NODE, tensors=False)
            if nodes > MOST_NODES:
                raise Refused(f"an ONNX file of more than {MOST_NODES} nodes")
    except ArgumentError as error:
        raise Refused(f"no ONNX file ({error})") from None
    if graphs != 1 or not nodes:
        raise Refused("no ONNX file with one graph of nodes")


def require_onnx(model: bytes) -> None:
    """Refuses what `check_onnx` refuses, where the file came from.

    Raises:
        BundleError: it is refused.
    """
    try:
        check_onnx(model)
    except Refused as error:
        raise BundleError(f"model must be a plain ONNX graph, got {error}; export it again.") from None


def _check_nodes(message: memoryview, node_field: int, *, tensors: bool) -> int:
    """Returns the number of nodes of a graph or function after checking each, and the tensors of a graph.

    Raises:
        Refused: a node or a tensor breaks a rule.
    """
    count = 0
    for number, kind, value in fields(message):
        if kind != BYTES or isinstance(value, int):
            continue
        if number == node_field:
            count += 1
            _check_node(value)
        elif tensors and number == _GRAPH_TENSORS:
            _check_tensor(value)
        elif tensors and number == _GRAPH_SPARSE:
            raise Refused("a sparse tensor")
    return count


def _check_node(message: memoryview) -> None:
    for number, _, value in fields(message):
        if isinstance(value, int):
            continue
        if number == _NODE_DOMAIN and bytes(value) not in DOMAINS:
            raise Refused(f"a node of domain {shown(bytes(value[:64]).decode('utf-8', 'replace'))}")
        if number == _NODE_ATTRIBUTE:
            _check_attribute(value)


def _check_attribute(message: memoryview) -> None:
    for number, _, value in fields(message):
        if isinstance(value, int):
            continue
        if number in _ATTRIBUTE_GRAPHS:
            raise Refused("a node with a subgraph (a loop or a branch)")
        if number in _ATTRIBUTE_SPARSE:
            raise Refused("a sparse tensor")
        if number in _ATTRIBUTE_TENSORS:
            _check_tensor(value)


def _check_tensor(message: memoryview) -> None:
    for number, _, value in fields(message):
        if number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and value != 0):
            raise Refused("a tensor with external data")
