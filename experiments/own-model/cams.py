#!/usr/bin/env python3
"""Writes the class activation map of each image of a fold, with the prediction, by Grad-CAM of pytorch-grad-cam."""

import argparse
from pathlib import Path

import numpy as np
import orchestrate
import torch
from network import Network, as_input
from pytorch_grad_cam import GradCAM

BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("images", "split", "weights", "cams", "predictions"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--fold", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    images = orchestrate.read_images(arguments.images)
    split = orchestrate.read_split(arguments.split)
    classes = split.attrs["classes"]
    fold = split[split.fold == arguments.fold]
    inputs = as_input(images.pixels[fold.index])

    saved = torch.load(arguments.weights / "model.pt", map_location="cpu")
    network = Network(saved["channels"], len(classes))
    network.load_state_dict(saved["state"])
    network.eval()
    maps, probabilities = [], []
    with GradCAM(model=network, target_layers=[network.last]) as cam:
        for batch in inputs.split(BATCH):
            # Without targets, the map is that of the most probable class.
            maps.append(cam(input_tensor=batch, targets=None))
            with torch.no_grad():
                probabilities.append(network(batch).softmax(dim=1).numpy())

    predictions = {
        "images": list(fold.image),
        "labels": list(fold.label),
        "classes": classes,
        "probabilities": np.concatenate(probabilities),
    }
    size = images.pixels.shape[1:]
    orchestrate.write_cams(arguments.cams, maps=np.concatenate(maps), input_size=size, **predictions)
    # Without the maps, for `classify`.
    orchestrate.write_predictions(arguments.predictions, **predictions)


if __name__ == "__main__":
    main()
