#!/usr/bin/env python3
"""Trains the network for one fold: on the images of all others, and validates on the fold's own.

It writes `model.pt` to the output `weights`, and the losses of each epoch to `curve`, which the report draws.
"""

import argparse
from pathlib import Path

import numpy as np
import orchestrate
import torch
from network import Network, as_input
from torch import nn

BATCH = 16
RATE = 2e-3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("images", "split", "weights", "curve"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("fold", "channels", "epochs", "seed"):
        parser.add_argument(f"--{name}", type=int, required=True)
    arguments = parser.parse_args()

    # The same bytes on each run: one thread, one seed, and a fold draws numbers of its own.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(1000 * arguments.seed + arguments.fold)

    images = orchestrate.read_images(arguments.images)
    split = orchestrate.read_split(arguments.split)
    classes = split.attrs["classes"]
    # Both are in the order of the data set.
    assert images.names == list(split.image)
    inputs = as_input(images.pixels)
    labels = torch.tensor([classes.index(label) for label in split.label])
    held_out = torch.from_numpy((split.fold == arguments.fold).to_numpy())
    trained_on = torch.nonzero(~held_out).ravel()

    network = Network(arguments.channels, len(classes))
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    curve = {"learning_rate": [], "train_loss": [], "validation_loss": [], "validation_accuracy": []}
    for epoch in range(arguments.epochs):
        network.train()
        losses = []
        for batch in trained_on[torch.randperm(len(trained_on))].split(BATCH):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(inputs[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        network.eval()
        with torch.no_grad():
            outputs = network(inputs[held_out])
        correct = outputs.argmax(dim=1) == labels[held_out]
        curve["learning_rate"].append(RATE)
        curve["train_loss"].append(float(np.mean(losses)))
        curve["validation_loss"].append(nn.functional.cross_entropy(outputs, labels[held_out]).item())
        curve["validation_accuracy"].append(correct.double().mean().item())
        print(f"progress {epoch + 1}/{arguments.epochs} loss {curve['train_loss'][-1]:.3f}", flush=True)

    torch.save({"channels": arguments.channels, "state": network.state_dict()}, arguments.weights / "model.pt")
    orchestrate.write_curve(arguments.curve, **curve)


if __name__ == "__main__":
    main()
