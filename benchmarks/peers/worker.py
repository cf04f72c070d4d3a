"""One contestant of benchmarks/peers in one process, the protocol that of ours.cpp: a JSON object when it is warm, the
seconds of one forward per line read from stdin, at the end VmHWM in bytes.

    worker.py KIND MODEL CLIP.safetensors THREADS
"""

import json
import os
import sys
import time

kind, model_path, clip_path, threads = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
os.environ["OMP_NUM_THREADS"] = str(threads)

from safetensors.numpy import load_file  # noqa: E402

clip = load_file(clip_path)["clip"][0]  # (T,3,S,S)


def torch_once():
    import torch

    import model

    torch.set_num_threads(threads)
    network = model.load(model_path, shifted=kind != "torch-plain").eval().requires_grad_(False)
    if kind == "torch-compile":
        network = torch.compile(network)
    x = torch.from_numpy(clip)

    def once():
        with torch.inference_mode():
            return network(x).numpy()

    return once, torch.__version__


def onnxruntime_once():
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(model_path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"clip": clip})[0], onnxruntime.__version__


def openvino_once():
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(model_path, "CPU", {
        "INFERENCE_NUM_THREADS": str(threads), "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    return lambda: request.infer([clip], share_inputs=True)[0], openvino.__version__.split("-")[0]


makers = {"torch": torch_once, "onnxruntime": onnxruntime_once, "openvino": openvino_once}
run, version = makers[kind.split("-")[0]]()
for _ in range(2):
    logits = run()
print(json.dumps({"version": version, "logits": [float(v) for v in logits.reshape(-1)]}), flush=True)
for _ in sys.stdin:
    before = time.perf_counter()
    run()
    print(repr(time.perf_counter() - before), flush=True)
with open("/proc/self/status") as status:
    print(next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:")))
