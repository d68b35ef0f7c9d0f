"""Losses of segmentation_models_pytorch and PyTorch with gradients for stages/networks/src/segment/tests/loss.rs.

Run: python segment_loss.py, writes segment_loss.json.
"""

import json

import numpy as np
import segmentation_models_pytorch as smp
import torch

import formula

SHAPE = (2, 1, 4, 6)
COUNT = int(np.prod(SHAPE))

dice = smp.losses.DiceLoss("binary", from_logits=True)
bce = torch.nn.BCEWithLogitsLoss()
LOSSES = {"dice": dice, "bce": bce, "dice+bce": lambda x, y: dice(x, y) + bce(x, y)}

noise = formula.uniform("logits", COUNT)
blob = (formula.uniform("mask", COUNT) > 0.4).astype(np.float32)
first_only = np.where(np.arange(COUNT) < COUNT // 2, blob, 0)
CASES = {
    "two masks": (4 * noise, blob),
    "one empty mask": (4 * noise, first_only),
    "no mask at all": (4 * noise, np.zeros(COUNT)),
    "all foreground": (4 * noise, np.ones(COUNT)),
    "logits far from 0": (60 * noise, blob),
}

cases = []
for name, (logits, mask) in CASES.items():
    x = torch.tensor(logits, dtype=torch.float32).reshape(SHAPE)
    y = torch.tensor(mask, dtype=torch.float32).reshape(SHAPE)
    results = {}
    for loss_name, loss_of in LOSSES.items():
        leaf = x.clone().requires_grad_()
        loss = loss_of(leaf, y)
        loss.backward()
        gradient = [float(f"{v:.7g}") for v in leaf.grad.flatten().tolist()]
        results[loss_name] = {"value": loss.item(), "gradient": gradient}
    cases.append({"name": name, "logits": x.flatten().tolist(), "mask": [int(v) for v in mask], "losses": results})

versions = {"torch": torch.__version__, "segmentation_models_pytorch": smp.__version__}
with open("segment_loss.json", "w") as file:
    json.dump({"made_by": "segment_loss.py", **versions, "shape": SHAPE, "cases": cases}, file)
    file.write("\n")
