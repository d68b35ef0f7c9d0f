"""Logits of segmentation_models_pytorch's U-Net, and one training step, for model/unet/tests.rs in stages/networks/src.

Run: python unet.py, writes unet.json. Weights follow a formula, so only results are committed.
"""

import json

import numpy as np
import segmentation_models_pytorch as smp
import torch
import torchvision

import formula

SIZE = 64
STEP = 257


def unit(name, shape):
    """Draws numbers in ±0.1 under a name that the formula does not scale."""
    return formula.tensor(name + "/unit", shape)


def weights(name, shape):
    """Draws He-uniform convolutions, scales 0.5 to 1.5, variances 1 to 2 (residual blocks: 4 to 8, or maps grow)."""
    if len(shape) > 1:
        return formula.tensor(name, shape)
    vector = unit(name, shape)
    norm = name.rsplit(".", 1)[1]
    if norm == "weight":
        return 1 + 5 * vector
    if norm == "running_var":
        return 6 + 20 * vector if name.startswith("encoder.layer") else 1.5 + 5 * vector
    return vector


def unet(encoder):
    net = smp.Unet(encoder, encoder_weights=None, classes=1)
    with torch.no_grad():
        for name, values in net.state_dict().items():
            if values.dim() > 0:
                values.copy_(torch.from_numpy(weights(name, tuple(values.shape))))
    return net


def sample(values, step=STEP):
    rounded = [float(f"{v:.8g}") for v in values.flatten()[::step].tolist()]
    return {"shape": list(values.shape), "step": step, "values": rounded}


def few(values):
    """Samples about seven values, evenly spaced."""
    flat = values.detach().flatten()
    return [float(f"{v:.8g}") for v in flat[:: max(1, flat.numel() // 7)].tolist()]


grey = np.stack([formula.image(f"image {i}", SIZE, SIZE) for i in range(2)])
mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
sd = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
x = (torch.from_numpy(grey)[:, None].float().repeat(1, 3, 1, 1) / 255 - mean) / sd
y = torch.from_numpy((formula.uniform("mask", x[:, :1].numel()) > 0.4).astype(np.float32)).reshape(2, 1, SIZE, SIZE)

logits = {}
for encoder in ["vgg16", "vgg19", "vgg16_bn", "vgg19_bn", "resnet34"]:
    net = unet(encoder).eval()
    with torch.no_grad():
        logits[encoder] = sample(net(x))
    print(encoder, min(logits[encoder]["values"]), max(logits[encoder]["values"]))

net = unet("vgg16").train()
loss = smp.losses.DiceLoss("binary", from_logits=True)(net(x), y)
loss.backward()
gradients = dict(net.named_parameters())
NAMES = [
    "encoder.features.0.weight",
    "encoder.features.28.bias",
    "decoder.center.0.0.weight",
    "decoder.blocks.0.conv1.1.weight",
    "decoder.blocks.4.conv2.0.weight",
    "decoder.blocks.4.conv2.1.bias",
    "segmentation_head.0.weight",
    "segmentation_head.0.bias",
]
RUNNING = ["decoder.center.0.1.running_mean", "decoder.center.0.1.running_var", "decoder.blocks.4.conv2.1.running_var"]
step = {
    "loss": loss.item(),
    "gradients": {name: few(gradients[name].grad) for name in NAMES},
    "running": {name: few(net.state_dict()[name]) for name in RUNNING},
}

versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
versions["segmentation_models_pytorch"] = smp.__version__
with open("unet.json", "w") as file:
    json.dump({"made_by": "unet.py", **versions, "size": SIZE, "logits": logits, "training_step": step}, file)
    file.write("\n")
