"""Writes VGG-16 face weights in the six public layouts, independently of the importers, and computes what they mean."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from edgeaff.training.models.vggface import VggFaceConfig

CONFIG = VggFaceConfig(mode="resampled", widths=(4, 5, 6, 7, 8), descriptor=16)
SMALL = VggFaceConfig(mode="affwildnet", widths=(4, 5, 6, 7, 8), descriptor=16)
PUBLISHED_RGB = (129.1863, 104.7624, 93.5940)


def known_layers(map_px: int, *, seed: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns name -> (weight, bias) as a network for its own channel order has them: OIHW, fc6 (D, C, P, P)."""
    random = np.random.default_rng(seed)
    layers = {}
    for name, inputs, outputs in CONFIG.convolutions:
        weight = random.normal(0, np.sqrt(2 / (9 * inputs)), (outputs, inputs, 3, 3))
        layers[name] = (weight.astype(np.float32), random.normal(0, 0.1, outputs).astype(np.float32))
    layers["conv1_1"] = (layers["conv1_1"][0] / 60, layers["conv1_1"][1])  # pixels come as 0..255
    shape = (CONFIG.descriptor, CONFIG.widths[-1], map_px, map_px)
    fc6 = random.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)
    layers["fc6"] = (fc6, random.normal(0, 0.1, CONFIG.descriptor).astype(np.float32))
    return layers


def reference(layers, face, *, channel_order, mean=PUBLISHED_RGB, scale=1.0, upsample=False, enlarge_map=False):
    """Returns every layer's output as the original framework would give it, its own channel order and all."""
    pixels = (face + 1) * 127.5
    center = torch.tensor(mean).view(1, 3, 1, 1)
    x = ((pixels - center) if channel_order == "rgb" else (pixels.flip(1) - center.flip(1))) * scale
    if upsample:
        x = functional.interpolate(x, size=(224, 224), mode="bilinear", align_corners=False)
    outputs = {}
    for name, (weight, bias) in layers.items():
        if name in ("conv2_1", "conv3_1", "conv4_1", "conv5_1", "fc6"):
            x = functional.max_pool2d(x, 2, 2)
        if name == "fc6":
            if enlarge_map:
                x = functional.interpolate(x, size=(7, 7), mode="bilinear", align_corners=False)
            x = functional.conv2d(x, torch.tensor(weight), torch.tensor(bias)).flatten(1)
        else:
            x = functional.conv2d(x, torch.tensor(weight), torch.tensor(bias), padding=1)
        x = outputs[name] = functional.relu(x)
    return outputs


def message_classes() -> dict[str, type]:
    """Returns protobuf classes with the field numbers of Caffe's and TensorFlow's public definitions."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    scalar = {"int32": 5, "int64": 3, "float": 2, "string": 9, "fixed32": 7, "bytes": 12}
    definitions = {
        "BlobShape": [("dim", 1, "int64", "packed")],
        "BlobProto": [
            ("num", 1, "int32", ""),
            ("channels", 2, "int32", ""),
            ("height", 3, "int32", ""),
            ("width", 4, "int32", ""),
            ("data", 5, "float", "packed"),
            ("shape", 7, "BlobShape", ""),
        ],
        "LayerParameter": [("name", 1, "string", ""), ("type", 2, "string", ""), ("blobs", 7, "BlobProto", "repeated")],
        "V1LayerParameter": [
            ("bottom", 2, "string", "repeated"),
            ("name", 4, "string", ""),
            ("type", 5, "int32", ""),
            ("blobs", 6, "BlobProto", "repeated"),
        ],
        "NetParameter": [
            ("name", 1, "string", ""),
            ("layers", 2, "V1LayerParameter", "repeated"),
            ("layer", 100, "LayerParameter", "repeated"),
        ],
        "Dim": [("size", 1, "int64", ""), ("name", 2, "string", "")],
        "TensorShape": [("dim", 2, "Dim", "repeated")],
        "BundleHeader": [("num_shards", 1, "int32", "")],
        "BundleEntry": [
            ("dtype", 1, "int32", ""),
            ("shape", 2, "TensorShape", ""),
            ("shard_id", 3, "int32", ""),
            ("offset", 4, "int64", ""),
            ("size", 5, "int64", ""),
            ("crc32c", 6, "fixed32", ""),
        ],
        "SavedSliceMeta": [("name", 1, "string", ""), ("shape", 2, "TensorShape", ""), ("type", 3, "int32", "")],
        "SavedTensorSliceMeta": [("tensor", 1, "SavedSliceMeta", "repeated")],
        "TensorProto": [("dtype", 1, "int32", ""), ("float_val", 5, "float", "packed")],
        "SavedSlice": [("name", 1, "string", ""), ("data", 3, "TensorProto", "")],
        "SavedTensorSlices": [("meta", 1, "SavedTensorSliceMeta", ""), ("data", 2, "SavedSlice", "")],
    }
    file = descriptor_pb2.FileDescriptorProto(name="files.proto", package="files", syntax="proto2")
    for name, rows in definitions.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind, how in rows:
            entry = message.field.add(name=field_name, number=number, label=3 if how else 1)
            if kind in scalar:
                entry.type = scalar[kind]
                entry.options.packed = how == "packed"
            else:
                entry.type, entry.type_name = 11, f".files.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {n: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"files.{n}")) for n in definitions}


def write_caffe(path: Path, layers, *, version: int = 1) -> None:
    """Writes a NetParameter; version 1 has four-number blob shapes and layer types as numbers."""
    classes = message_classes()
    net = classes["NetParameter"](name="VGG_FACE_16_layers")
    add = net.layers.add if version == 1 else net.layer.add
    add(name="data")
    for name, arrays in layers.items():
        layer = add(name=name, type=4 if version == 1 else "Convolution")
        for array in arrays:
            flat = array.reshape(len(array), -1) if name == "fc6" and array.ndim == 4 else array
            blob = layer.blobs.add(data=flat.ravel().tolist())
            if version == 1:
                sizes = [1] * (4 - flat.ndim) + list(flat.shape)
                blob.num, blob.channels, blob.height, blob.width = sizes
            else:
                blob.shape.dim.extend(flat.shape)
    path.write_bytes(net.SerializeToString())


class Torch7Writer:
    """Serializes as Lua Torch does in binary mode."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.index = 0

    def next_index(self) -> bytes:
        self.index += 1
        return struct.pack("<i", self.index)

    def text(self, value: str) -> bytes:
        return struct.pack("<i", len(value)) + value.encode()

    def write(self, value) -> None:
        if value is None:
            self.data += struct.pack("<i", 0)
        elif isinstance(value, bool):
            self.data += struct.pack("<ii", 5, value)
        elif isinstance(value, (int, float)):
            self.data += struct.pack("<id", 1, value)
        elif isinstance(value, str):
            self.data += struct.pack("<i", 2) + self.text(value)
        elif isinstance(value, np.ndarray):
            self.tensor(value)
        elif isinstance(value, tuple):  # (class name, fields)
            self.data += struct.pack("<i", 4) + self.next_index() + self.text("V 1") + self.text(value[0])
            self.write(value[1])
        elif callable(value):
            self.data += struct.pack("<i", 8) + self.next_index() + self.text("\x1bLua code") + struct.pack("<i", 0)
        else:
            self.data += struct.pack("<i", 3) + self.next_index() + struct.pack("<i", len(value))
            for key, content in value.items():
                self.write(key)
                self.write(content)

    def tensor(self, array: np.ndarray) -> None:
        self.data += struct.pack("<i", 4) + self.next_index() + self.text("V 1") + self.text("torch.FloatTensor")
        strides = [int(np.prod(array.shape[axis + 1 :])) for axis in range(array.ndim)]
        self.data += struct.pack("<i", array.ndim) + struct.pack(f"<{array.ndim}q", *array.shape)
        self.data += struct.pack(f"<{array.ndim}q", *strides) + struct.pack("<q", 3)  # two values stand before it
        self.data += struct.pack("<i", 4) + self.next_index() + self.text("V 1") + self.text("torch.FloatStorage")
        self.data += struct.pack("<q", array.size + 2) + b"\0" * 8 + array.astype("<f4").tobytes()


def write_torch7(path: Path, layers, *, flat_convolutions: bool = False) -> None:
    """Writes nn.Sequential { convolutions with ReLU, nested; View; Linear }; flat is the SpatialConvolutionMM form."""
    convolutions, index = {}, 0
    for name, (weight, bias) in layers.items():
        if name == "fc6":
            continue
        kind = "nn.SpatialConvolutionMM" if flat_convolutions else "nn.SpatialConvolution"
        kept = weight.reshape(len(weight), -1) if flat_convolutions else weight
        convolutions[index + 1] = (kind, {"weight": kept, "bias": bias, "kW": 3, "train": False})
        convolutions[index + 2] = ("nn.ReLU", {"inplace": True, "hook": print})
        index += 2
    modules = {1: ("nn.Sequential", {"modules": convolutions}), 2: ("nn.View", {"numElements": -1})}
    if "fc6" in layers:
        fc6, bias = layers["fc6"]
        modules[3] = ("nn.Linear", {"weight": fc6.reshape(len(fc6), -1), "bias": bias, "note": None})
        modules[4] = ("nn.Linear", {"weight": np.ones((2, len(fc6)), np.float32), "bias": np.ones(2, np.float32)})
    network = ("nn.Sequential", {"modules": modules})
    writer = Torch7Writer()
    writer.write(network)
    path.write_bytes(bytes(writer.data))


def write_matconvnet(path: Path, layers, *, compress: bool, old: bool = False) -> None:
    """Writes vgg-face.mat with scipy; `old` names filters and biases apart and keeps a whole average image."""
    from scipy.io import savemat

    cells = np.empty((1, 2 * len(layers)), dtype=object)
    for index, (name, (weight, bias)) in enumerate(layers.items()):
        filters = weight.transpose(2, 3, 1, 0)
        fields = {"name": name, "type": "conv", "stride": np.array([1.0, 1.0])}
        if old:
            fields |= {"filters": filters, "biases": bias[None]}
        else:
            pair = np.empty((1, 2), dtype=object)
            pair[0, 0], pair[0, 1] = filters, bias[:, None]
            fields["weights"] = pair
        cells[0, 2 * index], cells[0, 2 * index + 1] = fields, {"name": f"relu_{name}", "type": "relu"}
    image = np.array(PUBLISHED_RGB, np.float32).reshape(1, 1, 3)
    normalization = {"averageImage": np.broadcast_to(image, (5, 4, 3)) if old else image}
    extra = {"normalization": normalization} if old else {"meta": {"normalization": normalization}}
    savemat(path, {"layers": cells, **extra}, do_compression=compress)


def write_keras(path: Path, layers, *, nested: bool) -> None:
    """Writes HDF5 weights; `nested` as newer Keras does (layer/layer/kernel:0 below model_weights)."""
    import h5py

    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if nested else file
        root.create_group("pool1")
        for name, (weight, bias) in layers.items():
            kernel = weight.transpose(2, 3, 1, 0)
            if name == "fc6":
                kernel = kernel.reshape(-1, kernel.shape[-1])
            group = root.create_group(f"{name}/{name}") if nested else root.create_group(name)
            names = ("kernel:0", "bias:0") if nested else (f"{name}_W_1:0", f"{name}_b_1:0")
            group.create_dataset(names[0], data=kernel)
            group.create_dataset(names[1], data=bias)


def write_pytorch(path: Path, layers, *, wrapped: bool) -> None:
    """Writes a state dict; `wrapped` as training scripts do."""
    state = {}
    for name, (weight, bias) in layers.items():
        kept = weight.reshape(len(weight), -1) if name == "fc6" else weight
        prefix = "module." if wrapped else ""
        state |= {f"{prefix}{name}.weight": torch.tensor(kept), f"{prefix}{name}.bias": torch.tensor(bias)}
    torch.save({"state_dict": state, "epoch": 3} if wrapped else state, path)


def affwildnet_tensors(layers) -> dict[str, np.ndarray]:
    """Returns the variables of the TF graph by name, with what else a training checkpoint holds."""
    tensors = {"global_step": np.array(7.0, np.float32), "rnn/weights_rnn": np.ones((3, 2), np.float32)}
    for index, (weight, bias) in enumerate(layers.values(), start=1):
        kernel = weight.transpose(2, 3, 1, 0)
        scope = "linear_1" if index == 14 else f"vgg/conv_{index}"
        tensors[f"{scope}/weights"] = kernel.reshape(-1, kernel.shape[-1]) if index == 14 else kernel
        tensors[f"{scope}/biases"] = bias
    return tensors


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def table(entries: list[tuple[bytes, bytes]], *, per_block: int = 5) -> bytes:
    """Returns a sorted table as LevelDB writes it: shared prefixes, blocks, index block, footer."""

    def block(rows) -> bytes:
        data, before = bytearray(), b""
        for key, value in rows:
            shared = 0
            while shared < min(len(key), len(before)) and key[shared] == before[shared]:
                shared += 1
            data += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
            before = key
        return bytes(data) + struct.pack("<II", 0, 1)

    out, handles = bytearray(), []
    for start in range(0, len(entries), per_block):
        content = block(entries[start : start + per_block])
        handles.append((entries[start : start + per_block][-1][0], varint(len(out)) + varint(len(content))))
        out += content + b"\0" + b"crc!"
    places = []
    for rows in ([], handles):
        content = block(rows)
        places.append(varint(len(out)) + varint(len(content)))
        out += content + b"\0" + b"crc!"
    return bytes(out) + b"".join(places).ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def shape_message(classes, shape):
    return classes["TensorShape"](dim=[classes["Dim"](size=n) for n in shape])


def write_bundle(prefix: Path, tensors: dict[str, np.ndarray]) -> None:
    """Writes PREFIX.index and two data shards."""
    classes = message_classes()
    shards, rows = [bytearray(), bytearray()], [(b"", classes["BundleHeader"](num_shards=2).SerializeToString())]
    for number, name in enumerate(sorted(tensors)):
        shard, array = number % 2, tensors[name]
        entry = classes["BundleEntry"](
            dtype=1,
            shape=shape_message(classes, array.shape),
            shard_id=shard,
            offset=len(shards[shard]),
            size=array.nbytes,
            crc32c=9,
        )
        shards[shard] += array.astype("<f4").tobytes()
        rows.append((name.encode(), entry.SerializeToString()))
    prefix.with_name(prefix.name + ".index").write_bytes(table(rows))
    for number, data in enumerate(shards):
        prefix.with_name(f"{prefix.name}.data-{number:05d}-of-00002").write_bytes(bytes(data))


def write_single_file(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """Writes the older checkpoint: meta under the empty key, then one slice per tensor."""
    classes = message_classes()
    metas = [
        classes["SavedSliceMeta"](name=n, shape=shape_message(classes, a.shape), type=1) for n, a in tensors.items()
    ]
    meta = classes["SavedTensorSliceMeta"](tensor=metas)
    rows = [(b"", classes["SavedTensorSlices"](meta=meta).SerializeToString())]
    for name in sorted(tensors):
        data = classes["TensorProto"](dtype=1, float_val=tensors[name].ravel().tolist())
        part = classes["SavedSlice"](name=name, data=data)
        rows.append((b"\x00" + name.encode(), classes["SavedTensorSlices"](data=part).SerializeToString()))
    path.write_bytes(table(rows, per_block=3))
