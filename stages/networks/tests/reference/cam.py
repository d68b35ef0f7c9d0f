"""pytorch-grad-cam's GradCAM of the networks of models.py, before its scaling, for stages/networks/src/model/parity.rs.

Its weights are the gradients of the score, averaged over the pixels of the map. With global average pooling these are
the weights of the class over the number of pixels, so its map is relu(S) / (u v). Run: python cam.py, writes cam.json.
"""

import importlib.metadata
import json

import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

import formula
import models


class Unscaled(GradCAM):
    """Keeps the map before GradCAM scales it to 0..=1 and to the size of the image."""

    def get_cam_image(self, *args, **kwargs):
        self.map = super().get_cam_image(*args, **kwargs)
        return self.map


def grad_cam(name):
    net = models.Classifier(name).eval()
    layer = net.added if name in models.ADDED else net.trunk
    x = models.normalised(formula.image("image 0", models.size(name), models.size(name)))
    predicted = int(net(x).argmax())
    with Unscaled(net, [layer]) as cam:
        cam(x, [ClassifierOutputTarget(predicted)])
        return {"predicted": predicted, "map": models.sample(torch.from_numpy(np.maximum(cam.map[0], 0)))}


maps = {name: grad_cam(name) for name in models.NAMES}
versions = {"torch": torch.__version__, "grad-cam": importlib.metadata.version("grad-cam")}
with open("cam.json", "w") as file:
    json.dump({"made_by": "cam.py", **versions, "models": maps}, file)
    file.write("\n")
