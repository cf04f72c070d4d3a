"""The official ZeroI2V architecture in PyTorch, written anew for benchmarks/peers: what a user of PyTorch would run.

Attention is torch's scaled_dot_product_attention; a shifted head's keys and values are copied from the other frame, as the
official code does, and the frames at the ends keep their own. Parameter names are those of the checkpoint files.
"""

import json

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F


class Adapter(nn.Module):
    """x + scale (W2 (W1 x + b1) + b2)"""

    def __init__(self, width, rank, scale, dropout=0.0):
        super().__init__()
        self.D_fc1 = nn.Linear(width, rank)
        self.D_fc2 = nn.Linear(rank, width)
        self.scale = scale
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        return x + self.scale * self.D_fc2(self.dropout(self.D_fc1(x)))


def shift(x, offsets):
    """x (T,H,N,D) -> head h of frame t is that of frame t + offsets[h] where there is one, else its own."""
    frames, heads = x.shape[0], x.shape[1]
    if all(o == 0 or abs(o) >= frames for o in offsets):
        return x
    groups, begin = [], 0
    while begin < heads:
        end = begin
        while end < heads and offsets[end] == offsets[begin]:
            end += 1
        part, o = x[:, begin:end], offsets[begin]
        if 0 < o < frames:
            part = torch.cat([part[o:], part[-o:]])
        elif -frames < o < 0:
            part = torch.cat([part[:-o], part[:o]])
        groups.append(part)
        begin = end
    return torch.cat(groups, 1)


class Attention(nn.Module):
    def __init__(self, width, heads, offsets):
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))
        self.out_proj = nn.Linear(width, width)
        self.heads, self.offsets = heads, list(offsets)

    def forward(self, x):  # (T,N,C)
        t, n, c = x.shape
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        q, k, v = qkv.reshape(t, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, shift(k, self.offsets), shift(v, self.offsets))
        return self.out_proj(y.transpose(1, 2).reshape(t, n, c))


class QuickGELU(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class MLP(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.c_fc = nn.Linear(width, hidden)
        self.gelu = QuickGELU()
        self.c_proj = nn.Linear(hidden, width)

    def forward(self, x):
        return self.c_proj(self.gelu(self.c_fc(x)))


class Block(nn.Module):
    def __init__(self, config, offsets, adapted, adapter_dropout):
        super().__init__()
        width = config["width"]
        self.ln_1 = nn.LayerNorm(width)
        self.attn = Attention(width, config["heads"], offsets)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = MLP(width, config["mlp_width"])
        for name in ("T_Adapter_in", "S_Adapter", "MLP_Adapter", "MLP_Adapter_out"):
            setattr(self, name, Adapter(width, width // 4, config["adapter_scale"], adapter_dropout) if adapted else nn.Identity())

    def forward(self, x):
        x = x + self.S_Adapter(self.attn(self.T_Adapter_in(self.ln_1(x))))
        return x + self.MLP_Adapter_out(self.mlp(self.MLP_Adapter(self.ln_2(x))))


class VideoViT(nn.Module):
    """A clip (T,3,S,S) -> logits (K)."""

    def __init__(self, config, adapted, shifted=True, adapter_dropout=0.0, head_dropout=0.0):
        super().__init__()
        width, patch = config["width"], config["patch_size"]
        tokens = (config["image_size"] // patch) ** 2 + 1
        offsets = config["head_offsets"] if shifted else [0] * config["heads"]
        self.backbone = nn.Module()
        self.backbone.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.backbone.class_embedding = nn.Parameter(torch.empty(width))
        self.backbone.positional_embedding = nn.Parameter(torch.empty(tokens, width))
        self.backbone.temporal_embedding = nn.Parameter(torch.empty(1, config["frames"], width))
        self.backbone.ln_pre = nn.LayerNorm(width)
        self.backbone.transformer = nn.Module()
        self.backbone.transformer.resblocks = nn.ModuleList(Block(config, offsets, adapted, adapter_dropout) for _ in range(config["layers"]))
        self.backbone.ln_post = nn.LayerNorm(width)
        self.head_dropout = nn.Dropout(head_dropout)
        self.cls_head = nn.Module()
        self.cls_head.fc_cls = nn.Linear(width, config["classes"])

    def forward(self, clip):
        b = self.backbone
        x = b.conv1(clip).flatten(2).transpose(1, 2)  # (T,P,C)
        x = torch.cat([b.class_embedding.expand(x.shape[0], 1, -1), x], 1) + b.positional_embedding
        x = b.ln_pre(x + b.temporal_embedding[0, :, None])
        for block in b.transformer.resblocks:
            x = block(x)
        feature = b.ln_post(x[:, 0]).mean(0)
        return self.cls_head.fc_cls(self.head_dropout(feature))


def read_config(path):
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["zeroi2v.config"])


def load(path, shifted=True, **dropouts):
    """The model of a file that zeroi2v wrote, adapted or merged."""
    tensors = load_file(path)
    with torch.device("meta"):
        model = VideoViT(read_config(path), any("Adapter" in name for name in tensors), shifted, **dropouts)
    model.load_state_dict(tensors, strict=True, assign=True)
    return model
