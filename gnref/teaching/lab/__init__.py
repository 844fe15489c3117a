"""The paper's experiments, small enough for a laptop: a trainer in NumPy, photographs, sweeps over settings.

A newcomer's minute: `trainer.nets` (a network on a screen) -> `trainer.parts` (what a forward and a backward
pass are) -> `trainer.training` (the loop) -> `experiments.groups` (an experiment).

`trainer`, in shapes N C H W or N C T H W:

- `convolution`, `parts`: layers with an explicit backward pass, which leaves the gradients in ``grads``
- `norms`, `constant`: gnref's own layers, Batch Renormalization, and statistics that stay constant
- `network`, `nets`, `segmenter`, `video_net`: layers in a row, residual blocks, and the experiments' networks
- `loss`, `sgd`, `training`: cross-entropy, momentum and weight decay, the loop over epochs
- `stored`: the statistics that batch norms keep, to read, put back, and measure anew

`data`, left halves of photographs to train on and right halves to test on:

- `photos`: ten that scikit-image ships, with their licences
- `patches`, `mosaics`, `clips`: cut into images, into images with a class per pixel, into video
- `digits`: handwritten ones, where the paper's effect does not appear

`experiments`, each a module with the names of `experiment.Experiment`:

- `batch_size`, `groups`, `finetune`, `video`

What runs and shows them:

- `experiment`: what an experiment is; `command`: ``gnref lab``
- `sweep`, `progress`: many runs, in parallel processes; `results`: finished runs, kept in a file
- `tables`, `figures`: what was measured, beside what the paper reports

The tests hold gradients, steps and whole networks against PyTorch's; tools/lab_speed.py compares the speed.
"""
