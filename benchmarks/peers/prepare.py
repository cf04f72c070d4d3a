"""Makes what the contestants read: a seeded clip and the merged model as ONNX, fp32 and with dynamic int8.

    prepare.py MERGED.safetensors FOLDER
"""

import json
import sys
from pathlib import Path

import numpy
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process
from safetensors.numpy import save_file

import model

path, folder = sys.argv[1], Path(sys.argv[2])
config = model.read_config(path)
(folder / "model.json").write_text(json.dumps(config))
size = config["image_size"]
clip = numpy.random.default_rng(1).standard_normal((1, config["frames"], 3, size, size), dtype=numpy.float32)
save_file({"clip": clip}, folder / "clip.safetensors")

network = model.load(path).eval().requires_grad_(False)
plain = folder / "fp32.onnx"
torch.onnx.export(network, (torch.from_numpy(clip[0]),), plain, input_names=["clip"], output_names=["logits"], opset_version=18,
                  dynamo=True, external_data=False, verbose=False)
quant_pre_process(plain, folder / "prepared.onnx")
quantize_dynamic(folder / "prepared.onnx", folder / "int8.onnx", weight_type=QuantType.QInt8)  # per channel: 1.3e-1 off, its AVX2 kernels saturate
