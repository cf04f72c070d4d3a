"""Writes the files beside it with PyTorch (2.15 was used) and NumPy: python make.py

state_*.pth hold one state dict of many kinds of tensors, in several pickle protocols; state.safetensors the tensors that a
reader must find in them, bit for bit. unreadable.pth adds kinds that it must name and refuse. module.pth is a whole pickled
module, script.pt a TorchScript archive whose tensors are in script.safetensors.
"""
import collections
import json
import os
import struct

import numpy as np
import torch

here = os.path.dirname(os.path.abspath(__file__))
names = {torch.float32: "F32", torch.float64: "F64", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
         torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
         torch.uint16: "U16", torch.uint32: "U32", torch.uint64: "U64", torch.float8_e5m2: "F8_E5M2",
         torch.float8_e4m3fn: "F8_E4M3"}


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, tensor in tensors.items():
        raw = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(os.path.join(here, path), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


torch.manual_seed(1)
base = torch.randn(6, 5)
state = collections.OrderedDict()
for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
    state["float." + names[dtype]] = torch.randn(3, 2).to(dtype)
for dtype in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64):
    state["int." + names[dtype]] = torch.arange(1, 5).to(dtype)
state["bool"] = torch.tensor([True, False, True])
state["f8.e5m2"] = torch.randn(4).to(torch.float8_e5m2)
state["f8.e4m3"] = torch.randn(4).to(torch.float8_e4m3fn)
state["scalar"] = torch.tensor(2.5)
state["empty"] = torch.zeros(0, 3)
state["view.transposed"] = base.t()
state["view.column"] = base[:, 2]
state["view.rows"] = base[2:4]
state["view.steps"] = base[1::2, ::3]
state["view.expanded"] = base[0].expand(4, 5)
state["view.windows"] = base.reshape(-1).unfold(0, 4, 2)
state["parameter"] = torch.nn.Parameter(torch.randn(2, 2))
state["parameter.with.state"] = torch.nn.Parameter(torch.randn(2))
state["parameter.with.state"].note = "kept"
state["attribute"] = torch.randn(3)
state["attribute"].note = {"a": 1}
state["buffer"] = torch.nn.Buffer(torch.randn(2))
state["tied"] = state["parameter"]
state._metadata = {"": {"version": 1}}
nested = {"deeper": {"weight": torch.ones(2)}, "list": [torch.zeros(1)], "none": None, "number": 3, "array": np.arange(3)}
whole = {"epoch": 3, "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}}, "state_dict": {**state, "nested": nested}}
for protocol in (2, 3, 4, 5):
    torch.save(whole, os.path.join(here, f"state_{protocol}.pth"), pickle_protocol=protocol)
write_safetensors("state.safetensors", {**state, "nested.deeper.weight": nested["deeper"]["weight"]})

torch.save({"plain": torch.ones(2), "complex": torch.ones(2, dtype=torch.complex64), "sparse": torch.eye(2).to_sparse(),
            "quantised": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
            "negated": torch.complex(torch.ones(2), torch.ones(2)).conj().imag}, os.path.join(here, "unreadable.pth"))


class inner(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(2, 3))
        self.steps = 4

    def forward(self, x):
        return x @ self.weight.t()


class outer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = torch.nn.ModuleList([inner(), inner()])
        self.halves = torch.nn.Parameter(torch.randn(3).half())
        self.shared = self.blocks[0].weight
        self.table = {"a": torch.ones(2)}
        self.names = ["x", "y"]
        self.register_buffer("input_resolution", torch.tensor(224))

    def forward(self, x):
        for block in self.blocks:
            x = torch.cat([block(x), x[:, :1]], 1)
        return x + self.halves.float() + self.table["a"].sum()


torch.save(torch.nn.Linear(2, 2), os.path.join(here, "module.pth"))
model = outer()
torch.jit.script(model).save(os.path.join(here, "script.pt"))
write_safetensors("script.safetensors", {"halves": model.halves, "shared": model.shared,
                                         "blocks.0.weight": model.blocks[0].weight, "blocks.1.weight": model.blocks[1].weight})
