"""Convolutions and max poolings with their gradients, by PyTorch 2.9.1, for `src/tests/reference.rs`.

    python convolution.py > convolution.json

Inputs and the gradient of the output follow a formula, so they need not be stored. They are 32-bit numbers, and the
computation is in 64 bits.
"""

import json

import torch
from torch.nn import functional

# name, shape of the input, units, kernel, stride, padding, dilation, whether rectified
CONVOLUTIONS = [
    ("3×3", [2, 3, 9, 11], 7, 3, 1, 1, 1, False),
    ("3×3, rectified", [2, 3, 9, 11], 7, 3, 1, 1, 1, True),
    ("1×1", [2, 9, 10, 8], 20, 1, 1, 0, 1, False),
    ("stride 2", [3, 5, 7, 7], 17, 3, 2, 1, 1, True),
    ("stride 2 without padding", [2, 4, 13, 12], 6, 3, 2, 0, 1, False),
    ("7×7 with stride 4", [2, 1, 24, 24], 8, 7, 4, 3, 1, True),
    ("dilation 2", [1, 2, 20, 23], 3, 5, 1, 2, 2, False),
    ("more channels than are summed at a time", [3, 70, 5, 4], 20, 3, 1, 1, 1, True),
    ("more padding than the kernel reaches", [1, 2, 5, 6], 3, 3, 1, 3, 1, False),
    ("more places than are summed at a time", [2, 3, 40, 33], 4, 5, 1, 2, 1, True),
]
# name, shape of the input, kernel, stride, padding, ceil
POOLINGS = [
    ("2×2", [2, 3, 9, 10], 2, 2, 0, False),
    ("3×3 with ceil", [2, 2, 10, 13], 3, 2, 0, True),
    ("3×3 with padding", [1, 3, 11, 8], 3, 2, 1, False),
    ("overlapping by two", [1, 2, 7, 8], 3, 1, 1, False),
    ("stride 3 with ceil", [1, 2, 10, 11], 2, 3, 0, True),
]


def formula(shape, seed, levels=2003):
    count = torch.Size(shape).numel()
    values = [((index + 1) * (2 * seed + 1) * 7919 % levels) / (levels / 2) - 1 for index in range(count)]
    return torch.tensor(values, dtype=torch.float32).double().reshape(shape)


def some(tensor):
    """Samples at most a hundred or so values, evenly spaced."""
    flat = tensor.detach().flatten()
    return [float(f"{value:.8g}") for value in flat[:: max(1, flat.numel() // 100)].tolist()]


def convolution(name, shape, units, kernel, stride, padding, dilation, rectified):
    image = formula(shape, 1).requires_grad_()
    weight = formula([units, shape[1], kernel, kernel], 2).requires_grad_()
    bias = formula([units], 3).requires_grad_()
    output = functional.conv2d(image, weight, bias, stride, padding, dilation)
    if rectified:
        output = output.relu()
    output.backward(formula(output.shape, 4))
    return {
        "name": name, "shape": shape, "units": units, "kernel": kernel, "stride": stride, "padding": padding,
        "dilation": dilation, "rectified": rectified, "output": some(output), "input_gradient": some(image.grad),
        "weight_gradient": some(weight.grad), "bias_gradient": some(bias.grad),
    }  # fmt: skip


def pooling(name, shape, kernel, stride, padding, ceil):
    # Few levels, so windows have equal numbers.
    image = formula(shape, 1, levels=11).requires_grad_()
    output = functional.max_pool2d(image, kernel, stride, padding, ceil_mode=ceil)
    output.backward(formula(output.shape, 4))
    return {
        "name": name, "shape": shape, "kernel": kernel, "stride": stride, "padding": padding, "ceil": ceil,
        "output": some(output), "input_gradient": some(image.grad),
    }  # fmt: skip


def main():
    torch.set_num_threads(1)
    result = {
        "torch": torch.__version__.split("+")[0],
        "convolutions": [convolution(*case) for case in CONVOLUTIONS],
        "poolings": [pooling(*case) for case in POOLINGS],
    }
    # One line per case.
    print("{")
    print(f'"torch": "{result["torch"]}",')
    for index, key in enumerate(("convolutions", "poolings")):
        lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in result[key])
        print(f'"{key}": [\n{lines}\n]' + ("," if index == 0 else ""))
    print("}")


if __name__ == "__main__":
    main()
