"""Steps of SGD of a network with batch normalisation in train mode, for stages/networks/src/train/tests/torch.rs.

Run: python train_norm.py, writes train_norm.json: losses, and values of some tensors after the last step, running
statistics among them.
"""

import json

import torch
import torchvision
from torch import nn

import formula
import models

SIZE = 64
LABELS = [0, 1, 2, 1]
STEPS = 2

net = models.Classifier("resnet18").train()
x = models.normalised(*[formula.image(f"image {i}", SIZE, SIZE) for i in range(len(LABELS))])
optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=0.01)
losses = []
for _ in range(STEPS):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(net(x), torch.tensor(LABELS))
    loss.backward()
    optimizer.step()
    losses.append(loss.item())

names = ["conv1.weight"]
for norm in ["bn1", "layer1.0.bn2", "layer2.0.downsample.1", "layer4.1.bn2"]:
    names += [f"{norm}.{kind}" for kind in ["weight", "bias", "running_mean", "running_var"]]
names += ["layer2.0.downsample.0.weight", "layer4.1.conv2.weight"]
state = net.published.state_dict()
tensors = {name: state[name] for name in names} | {"head.weight": net.head.weight.detach()}
with open("train_norm.json", "w") as file:
    made = {"made_by": "train_norm.py", "torch": torch.__version__, "torchvision": torchvision.__version__}
    values = {name: models.sample(values, 8) for name, values in tensors.items()}
    json.dump({**made, "size": SIZE, "labels": LABELS, "losses": losses, "tensors": values}, file)
    file.write("\n")
