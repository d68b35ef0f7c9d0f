"""Losses and weights of PyTorch trainings for stages/networks/src/train. Run: python train.py, writes train.json."""

import json

import numpy as np
import torch
from torch import nn

import formula

SIZE = 16
LABELS = [0, 1, 2, 1, 0, 2]
CLASS_WEIGHTS = [1.0, 2.0, 0.5]
STEPS = 4


class Tiny(nn.Module):
    """`tiny` of stages/networks/src/model/tiny.rs."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 7, stride=4, padding=3), nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        )
        self.head = nn.Linear(64, 3)

    def forward(self, x):
        return self.head(self.features(x).mean(dim=(2, 3)))


OPTIMIZERS = {
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=0.001, weight_decay=0.01),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.001, weight_decay=0.1),
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.01, momentum=0.9, weight_decay=0.01),
}

images = np.stack([formula.image(f"image {i}", SIZE, SIZE) for i in range(len(LABELS))])
x = (torch.from_numpy(images)[:, None].float() / 255 - 0.5) / 0.25
y = torch.tensor(LABELS)
loss_of = nn.CrossEntropyLoss(weight=torch.tensor(CLASS_WEIGHTS))

runs = {}
for name, optimizer_of in OPTIMIZERS.items():
    net = Tiny()
    with torch.no_grad():
        formula.fill(net.state_dict())
    optimizer = optimizer_of(net.parameters())
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(net(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    sample = lambda values: [float(v) for v in values.flatten()[:: max(1, values.numel() // 7)]]
    tensors = {key: sample(values) for key, values in net.state_dict().items()}
    runs[name] = {"losses": losses, "tensors": tensors}

with open("train.json", "w") as file:
    made_by = {"made_by": "train.py", "torch": torch.__version__}
    json.dump({**made_by, "labels": LABELS, "class_weights": CLASS_WEIGHTS, "runs": runs}, file)
    file.write("\n")
