"""Values of torchvision's classifiers with weights from the formula, for stages/networks/src/model/tests/parity.rs.

Run: python models.py, writes models.json. A network of three classes has torchvision's trunk (and the layers a modified
network adds), global average pooling, and one linear layer. Names of tensors are torchvision's; those of other layers
begin with `added.` and `head.`.
"""

import json

import torch
import torchvision
from torch import nn

import formula

CLASSES = 3


def size(name):
    """Returns the pixels of a side; at 64 a map of AlexNet is a single value."""
    return 96 if "alexnet" in name else 64


class ResNetTrunk(nn.Module):
    """torchvision's ResNet up to its pooling; `features` of the others."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        net = self.net
        x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
        return net.layer4(net.layer3(net.layer2(net.layer1(x))))


def conv(inputs, outputs):
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]


ADDED = {
    "modified-alexnet": lambda: nn.Sequential(*conv(256, 512), *conv(512, 512)),
    "modified-vgg16": lambda: nn.Sequential(*conv(512, 1024)),
    "modified-vgg19": lambda: nn.Sequential(*conv(512, 1024)),
}


class Classifier(nn.Module):
    def __init__(self, name):
        super().__init__()
        self.published = getattr(torchvision.models, name.removeprefix("modified-"))()
        self.added = ADDED[name]() if name in ADDED else nn.Identity()
        if name.startswith("resnet"):
            self.trunk = ResNetTrunk(self.published)
        elif name.startswith("densenet"):
            # torchvision applies this ReLU in forward, not in `features`.
            self.trunk = nn.Sequential(self.published.features, nn.ReLU())
        elif name in ADDED:
            self.trunk = self.published.features[:-1]
        else:
            self.trunk = self.published.features
        with torch.no_grad():
            names = {k: v for k, v in self.published.state_dict().items() if not k.startswith(("classifier.", "fc."))}
            formula.fill(names)
            formula.fill({f"added.{k}": v for k, v in self.added.state_dict().items()})
            features = self.eval().map(torch.zeros(1, 3, 64, 64)).shape[1]
            self.head = nn.Linear(features, CLASSES)
            formula.fill({f"head.{k}": v for k, v in self.head.state_dict().items()})

    def map(self, x):
        return self.added(self.trunk(x))

    def forward(self, x):
        return self.head(self.map(x).mean(dim=(2, 3)))


def normalised(*images):
    x = torch.stack([torch.from_numpy(image) for image in images])[:, None].float().repeat(1, 3, 1, 1) / 255
    return torchvision.transforms.functional.normalize(x, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def sample(values, count=24):
    """Samples about `count` values, evenly spaced, row by row."""
    step = max(1, values.numel() // count) | 1
    rounded = [float(f"{v:.7g}") for v in values.flatten()[::step].tolist()]
    return {"shape": list(values.shape), "step": step, "values": rounded}


def evaluated(name):
    net = Classifier(name).eval()
    x = normalised(formula.image("image 0", size(name), size(name)))
    with torch.no_grad():
        features = net.map(x)
        logits = net(x)
        predicted = int(logits.argmax())
        cam = torch.einsum("k,khw->hw", net.head.weight[predicted], features[0])
        side = net.map(torch.zeros(1, 3, 224, 224)).shape[2]
    return {
        "size": size(name),
        "side_at_224": side,
        "features": sample(features),
        "pooled": sample(features.mean(dim=(2, 3))),
        "logits": sample(logits),
        "predicted": predicted,
        "class_activation_map": sample(cam),
    }


NAMES = [
    "alexnet", "vgg16", "vgg19", "modified-alexnet", "modified-vgg16", "modified-vgg19", "vgg16_bn", "vgg19_bn",
    "resnet18", "resnet34", "resnet50", "densenet121",
]

if __name__ == "__main__":
    values = {name: evaluated(name) for name in NAMES}
    made = {"made_by": "models.py", "torch": torch.__version__, "torchvision": torchvision.__version__}
    with open("models.json", "w") as file:
        json.dump({**made, "models": values}, file)
        file.write("\n")
