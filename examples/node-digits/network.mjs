// The model: linear, ReLU, linear. Its forward and backward pass, and nothing of losses or optimizers.

/** A stream of numbers in [0, 1), the same on every machine: SplitMix32. */
export function randomness(seed) {
  return () => {
    seed = (seed + 0x9e3779b9) | 0;
    let z = seed ^ (seed >>> 16);
    z = Math.imul(z, 0x21f0aaad);
    z ^= z >>> 15;
    z = Math.imul(z, 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32;
  };
}

/** Parameters by name, each a flat row-major array with its shape. */
export function initialise(sizes, random) {
  const parameters = {};
  for (let layer = 0; layer + 1 < sizes.length; layer++) {
    const [inputs, outputs] = [sizes[layer], sizes[layer + 1]];
    const bound = Math.sqrt(6 / inputs); // He et al. 2015, for ReLU
    const weight = Float32Array.from({ length: outputs * inputs }, () => (2 * random() - 1) * bound);
    parameters[`layer${layer}.weight`] = { shape: [outputs, inputs], data: weight };
    parameters[`layer${layer}.bias`] = { shape: [outputs], data: new Float32Array(outputs) };
  }
  return parameters;
}

/** y = x W^T + b, for each row of x. */
function linear(x, rows, weight, bias) {
  const [outputs, inputs] = weight.shape;
  const y = new Float32Array(rows * outputs);
  for (let n = 0; n < rows; n++) {
    for (let o = 0; o < outputs; o++) {
      let sum = bias.data[o];
      for (let i = 0; i < inputs; i++) sum += x[n * inputs + i] * weight.data[o * inputs + i];
      y[n * outputs + o] = sum;
    }
  }
  return y;
}

/** Logits of each image, and what the backward pass needs of the way to them. */
export function forward(parameters, images, rows) {
  const hidden = linear(images, rows, parameters["layer0.weight"], parameters["layer0.bias"]).map((x) => Math.max(x, 0));
  const logits = linear(hidden, rows, parameters["layer1.weight"], parameters["layer1.bias"]);
  return { logits, hidden };
}

/** Gradients in a linear layer's weight and bias, and in its input, given those in its output. */
function linearBackward(x, rows, weight, gradient) {
  const [outputs, inputs] = weight.shape;
  const inWeight = new Float32Array(outputs * inputs);
  const inBias = new Float32Array(outputs);
  const inInput = new Float32Array(rows * inputs);
  for (let n = 0; n < rows; n++) {
    for (let o = 0; o < outputs; o++) {
      const g = gradient[n * outputs + o];
      inBias[o] += g;
      for (let i = 0; i < inputs; i++) {
        inWeight[o * inputs + i] += g * x[n * inputs + i];
        inInput[n * inputs + i] += g * weight.data[o * inputs + i];
      }
    }
  }
  return { inWeight, inBias, inInput };
}

/** Gradients in all parameters, given those in the logits. */
export function backward(parameters, images, rows, hidden, inLogits) {
  const found = {};
  const last = linearBackward(hidden, rows, parameters["layer1.weight"], inLogits);
  const inHidden = last.inInput.map((g, at) => (hidden[at] > 0 ? g : 0));
  const first = linearBackward(images, rows, parameters["layer0.weight"], inHidden);
  for (const [layer, { inWeight, inBias }] of [first, last].entries()) {
    found[`layer${layer}.weight`] = { shape: parameters[`layer${layer}.weight`].shape, data: inWeight };
    found[`layer${layer}.bias`] = { shape: parameters[`layer${layer}.bias`].shape, data: inBias };
  }
  return found;
}

/** The share of images whose greatest logit is that of their digit. */
export function accuracy(parameters, { images, labels, size }) {
  const { logits } = forward(parameters, images, size);
  const classes = logits.length / size;
  let right = 0;
  for (let n = 0; n < size; n++) {
    const row = logits.subarray(n * classes, (n + 1) * classes);
    if (row.indexOf(Math.max(...row)) === labels[n]) right++;
  }
  return right / size;
}
