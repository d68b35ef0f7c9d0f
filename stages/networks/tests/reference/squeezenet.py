"""Values of torchvision's SqueezeNet 1.1 for model/reference.rs and cam of stages/networks/src.

Run: python squeezenet.py [squeezenet1_1-imagenet.safetensors]
Writes squeezenet.json, and with pretrained weights squeezenet_imagenet.json and squeezenet_chelsea.png.
"""

import json
import sys

import numpy as np
import skimage
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file

import formula

SIZE = 64
VERSIONS = {"torch": torch.__version__, "torchvision": torchvision.__version__, "scikit-image": skimage.__version__}


def normalised(*images):
    """Repeats grey images to three channels, as torchvision's ImageNet weights expect them."""
    x = torch.from_numpy(np.stack(images))[:, None].float().repeat(1, 3, 1, 1) / 255
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    sd = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    return (x - mean) / sd


def sample(values, count=100):
    """Samples about `count` values, evenly spaced, row by row."""
    step = max(1, values.numel() // count) | 1
    return {"shape": list(values.shape), "step": step, "values": [float(v) for v in values.flatten()[::step]]}


def results(net, x):
    with torch.no_grad():
        features = net.features(x)
        return features, {
            "features": sample(features),
            "class_map": sample(net.classifier[1](features)),
            "logits": sample(net(x)),
        }


def random_weights():
    net = torchvision.models.squeezenet1_1().eval()
    with torch.no_grad():
        formula.fill(net.state_dict())
    x = normalised(formula.image("image 0", SIZE, SIZE), formula.image("image 1", SIZE, SIZE))
    features, values = results(net, x)

    # The class activation map of a trunk → pooling → linear network with three classes.
    weight = torch.from_numpy(formula.tensor("head.weight", (3, 512)))
    bias = torch.from_numpy(formula.tensor("head.bias", (3,)))
    logits = features.mean(dim=(2, 3)) @ weight.T + bias
    predicted = logits.argmax(dim=1)
    maps = torch.einsum("bk,bkhw->bhw", weight[predicted], features)
    values["cam"] = {
        "predicted": predicted.tolist(),
        "probabilities": logits.softmax(dim=1).flatten().tolist(),
        "maps": sample(maps, maps.numel()),
    }
    return {"made_by": "squeezenet.py", **VERSIONS, "size": SIZE, **values}


def published_weights(path):
    net = torchvision.models.squeezenet1_1().eval()
    net.load_state_dict(load_file(path))
    chelsea = Image.fromarray(skimage.data.chelsea()[:, 75:375]).convert("L").resize((224, 224), Image.BILINEAR)
    chelsea.save("squeezenet_chelsea.png", optimize=True)
    x = normalised(np.asarray(chelsea))
    features, values = results(net, x)
    with torch.no_grad():
        best = net(x)[0].topk(5)
        values["cat"] = sample(net.classifier[1](features)[0, 285], 169)
    values["best"] = {"classes": best.indices.tolist(), "logits": best.values.tolist()}
    return {"made_by": "squeezenet.py", **VERSIONS, "picture": "skimage.data.chelsea, CC0, grey, 224x224", **values}


def write(name, values):
    with open(name, "w") as file:
        json.dump(values, file)
        file.write("\n")


write("squeezenet.json", random_weights())
if len(sys.argv) > 1:
    write("squeezenet_imagenet.json", published_weights(sys.argv[1]))
