"""Writes the files beside it with PyTorch (2.15 was used) and safetensors (0.8): python make.py

One tiny model with an adapter in each block (8 channels, 2 blocks, 2 frames), saved in the ways of those who wrap, average,
compile, checkpoint, quantize and extend models. expected.safetensors holds the tensors that a reader must find, bit for bit,
in every file that can be read; tests/unit/io/checkpoints/checkpoints.cpp says which those are, and what the others are refused with.
"""
import collections
import ctypes
import json
import os
import struct

import numpy as np
import safetensors
import torch
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.nn.utils import parametrizations, prune

here = os.path.dirname(os.path.abspath(__file__))
C, F, R, T, K = 8, 16, 2, 2, 3


class adapter(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.D_fc1, self.D_fc2 = torch.nn.Linear(C, R), torch.nn.Linear(R, C)


class mlp(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.c_fc, self.c_proj = torch.nn.Linear(C, F), torch.nn.Linear(F, C)


class block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = torch.nn.LayerNorm(C), torch.nn.LayerNorm(C)
        self.attn, self.mlp = torch.nn.MultiheadAttention(C, 2), mlp()
        self.S_Adapter = adapter()


class transformer(torch.nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.resblocks = torch.nn.ModuleList([block() for _ in range(blocks)])


class backbone(torch.nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, C, 2, 2, bias=False)
        self.class_embedding = torch.nn.Parameter(torch.randn(C))
        self.positional_embedding = torch.nn.Parameter(torch.randn(5, C))
        self.temporal_embedding = torch.nn.Parameter(torch.randn(1, T, C))
        self.ln_pre, self.ln_post = torch.nn.LayerNorm(C), torch.nn.LayerNorm(C)
        self.transformer = transformer(blocks)


class head(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc_cls = torch.nn.Linear(C, K)


class model(torch.nn.Module):
    def __init__(self, blocks=2):
        super().__init__()
        self.backbone, self.cls_head = backbone(blocks), head()


def fresh(seed=7, blocks=2):
    torch.manual_seed(seed)
    made = model(blocks)
    with torch.no_grad():
        for p in made.parameters():
            p.copy_(torch.randn_like(p))
    return made


def save(name, content):
    torch.save(content, os.path.join(here, name))


def plain(tensors):
    return collections.OrderedDict((k, v.detach().clone()) for k, v in tensors.items())


def renamed(tensors, new):
    return collections.OrderedDict((new(k), v) for k, v in tensors.items())


def write_expected(path, tensors):
    header, data = {}, b""
    for name in sorted(tensors):
        raw = tensors[name].detach().contiguous().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensors[name].shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(here, path), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


state = plain(fresh().state_dict())
other = collections.OrderedDict((k, v) for k, v in plain(fresh(8).state_dict()).items() if "conv1" in k or "resblocks.0.ln_1" in k)
write_expected("expected.safetensors", state)
first, second = "backbone.transformer.resblocks.0.", "backbone.transformer.resblocks.1."

# ---- wrappers -------------------------------------------------------------------------------------------------------

save("compiled.pth", plain(torch.compile(fresh()).state_dict()))  # _orig_mod. in front

made = fresh()
for i, each in enumerate(made.backbone.transformer.resblocks):  # inside, two kinds of them
    each.mlp = torch.compile(each.mlp)
    made.backbone.transformer.resblocks[i] = checkpoint_wrapper(each)
save("checkpointed.pth", plain(dict(torch.nn.DataParallel(made).named_parameters())))

save("averaged.pth", plain(torch.optim.swa_utils.AveragedModel(fresh()).state_dict()))  # module. and n_averaged
save("fsdp.pth", renamed(state, lambda k: "_fsdp_wrapped_module." + k.replace("resblocks.1.", "resblocks.1._fsdp_wrapped_module._checkpoint_wrapped_module.")))
save("ema.pth", renamed(state, lambda k: "ema.module." + k))
save("twice.pth", {**state, **renamed(other, lambda k: "module." + k)})
save("gap.pth", {k: v for k, v in plain(fresh(7, 4).state_dict()).items() if not k.startswith("backbone.transformer.resblocks.2.")})

# ---- dicts ----------------------------------------------------------------------------------------------------------

made = fresh()
adam = torch.optim.AdamW(made.parameters())
sum(p.sum() for p in made.parameters()).backward()
adam.step()
made.load_state_dict(state)
optimizer = adam.state_dict()
small = {"state": {k: v for k, v in list(optimizer["state"].items())[:2]}, "param_groups": optimizer["param_groups"]}
save("tutorial.pt", {"epoch": 3, "model_state_dict": plain(made.state_dict()), "optimizer_state_dict": small, "loss": torch.tensor(0.5)})
save("lightning.ckpt", {"epoch": 3, "global_step": 10, "pytorch-lightning_version": "2.5.0", "state_dict": renamed(state, lambda k: "net." + k),
                        "loops": {"fit_loop": {"state_dict": {}}}, "callbacks": {}, "optimizer_states": [small], "hyper_parameters": {"lr": 1e-3}})
save("deepspeed.pt", {"module": state, "buffer_names": [], "optimizer": None, "param_shapes": None, "global_steps": 3, "dp_world_size": 1})
save("moments.pth", {"params": state, "exp_avg": {"params": other}, "step": 2})
save("nested.pth", {"run": {"net": state, "optim_state": {"state": {k: {"exp_avg": v} for k, v in other.items()}, "param_groups": []}}, "meta": {"time": "now"}})
save("timm.pth", {"epoch": 3, "arch": "vit", "state_dict": state, "state_dict_ema": other, "optimizer": small})
save("distilled.pth", {"student": state, "teacher": other})
save("beside_cnn.pth", {"encoder_weights": state, "detector": {"conv1.weight": torch.randn(4, 3, 3, 3), "layer1.0.conv1.weight": torch.randn(4, 4, 3, 3)}})

# ---- tensors beside the model's -------------------------------------------------------------------------------------

save("lora.pth", {**state, first + "mlp.c_fc.lora_A": torch.randn(2, C), first + "mlp.c_fc.lora_B": torch.randn(F, 2)})
peft = collections.OrderedDict()
for k, v in state.items():
    hit = k.endswith(("c_fc.weight", "c_fc.bias"))
    peft["base_model.model." + (k.replace("c_fc.", "c_fc.base_layer.") if hit else k)] = v
    if k.endswith("c_fc.weight"):
        stem = "base_model.model." + k[: -len("weight")]
        peft[stem + "lora_A.default.weight"], peft[stem + "lora_B.default.weight"] = torch.randn(2, C), torch.randn(F, 2)
save("peft.pth", peft)
save("peft_pairs.pth", {k: v for k, v in peft.items() if "lora_" in k})
save("aim.pth", {**state, **{k.replace("S_Adapter", name): v for k, v in state.items() if "S_Adapter" in k for name in ("T_Adapter", "MLP_Adapter")}})
save("beside.pth", {**state, "criterion.weight": torch.ones(3), "queue": torch.zeros(2, 2), "queue_ptr": torch.zeros(1, dtype=torch.int64)})
save("inside.pth", {**state, first + "ln_3.weight": torch.ones(C), "queue": torch.zeros(2)})

made = fresh()
prune.l1_unstructured(made.backbone.transformer.resblocks[0].mlp.c_fc, "weight", amount=0.5)  # weight_orig, weight_mask
parametrizations.weight_norm(made.backbone.transformer.resblocks[1].mlp.c_fc)
save("reparametrized.pth", plain(made.state_dict()))

# ---- kinds of tensors -----------------------------------------------------------------------------------------------

torch.serialization.set_crc32_options(False)
save("no_checksums.pth", {**state, "logit_bias": torch.zeros(0)})  # an empty storage among them
torch.serialization.set_crc32_options(True)

quantized = torch.ao.quantization.quantize_dynamic(fresh().backbone.transformer.resblocks[0].mlp, {torch.nn.Linear}, torch.qint8)
packed = {k: v for k, v in state.items() if not k.startswith(first + "mlp.")}
packed.update({first + "mlp." + k: v for k, v in quantized.state_dict().items()})
save("packed.pth", packed)

kinds = collections.OrderedDict(state)
cube = torch.arange(16).reshape(4, 4) / 4
square = kinds[first + "attn.in_proj_weight"]
kinds[first + "mlp.c_fc.weight"] = torch.quantize_per_tensor(square, 0.1, 0, torch.qint8)
kinds[first + "mlp.c_proj.weight"] = torch.quantize_per_channel(square, torch.ones(3 * C), torch.zeros(3 * C), 0, torch.quint8)
kinds[first + "ln_1.weight"] = torch.eye(4).to_sparse()
kinds[first + "ln_1.bias"] = torch.eye(4).to_sparse_csr()
kinds[first + "ln_2.weight"] = torch.eye(4).to_sparse_csc()
kinds[first + "ln_2.bias"] = torch.eye(4).to_sparse_bsr((2, 2))
kinds[first + "attn.in_proj_bias"] = torch.empty(3 * C, device="meta")
kinds[first + "attn.out_proj.weight"] = torch.complex(cube, cube).conj()
kinds[first + "attn.out_proj.bias"] = torch.complex(cube, cube).conj().imag
kinds[first + "S_Adapter.D_fc1.weight"] = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
kinds[first + "S_Adapter.D_fc1.bias"] = torch.ones(2, dtype=torch.complex128)
kinds[first + "S_Adapter.D_fc2.weight"] = torch.nn.UninitializedParameter()
kinds[first + "S_Adapter.D_fc2.bias"] = np.ones(C, dtype=np.float32)
kinds[second + "ln_1.weight"] = torch.ones(4).to(torch.float8_e5m2).view(torch.bits8)
kinds[second + "ln_1.bias"] = None
kinds[second + "ln_2.weight"] = [1.0, 2.0]
kinds[second + "ln_2.bias"] = 0.5
kinds[second + "mlp.c_fc.weight"] = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)
kinds["text_model.c64"] = torch.complex(cube, cube)
for dtype in ("float8_e5m2", "float8_e4m3fn", "float8_e8m0fnu", "float8_e4m3fnuz", "float8_e5m2fnuz"):
    kinds["text_model." + dtype] = torch.arange(1, 5).float().to(getattr(torch, dtype))
save("kinds.pth", kinds)

# ---- the dtypes of safetensors 0.8, written by it (it writes no F6) --------------------------------------------------

content, kept = {}, []
for i, (name, size) in enumerate({"bool": 1, "float4_e2m1fn_x2": 1, "uint8": 1, "int8": 1, "float8_e5m2": 1, "float8_e4m3fn": 1, "float8_e8m0fnu": 1, "float8_e4m3fnuz": 1,
                                  "float8_e5m2fnuz": 1, "int16": 2, "uint16": 2, "float16": 2, "bfloat16": 2, "int32": 4, "uint32": 4, "float32": 4, "complex64": 8,
                                  "float64": 8, "int64": 8, "uint64": 8}.items()):
    kept.append(ctypes.create_string_buffer(bytes(range(i, i + 4 * size)), 4 * size))
    content["text_model." + name] = safetensors.TensorSpec(dtype=name, shape=[4], data_ptr=ctypes.addressof(kept[-1]), data_len=4 * size)
safetensors.serialize_file(content, os.path.join(here, "dtypes.safetensors"), {"made by": "safetensors"})
