"""What the network learns: to make the hidden images alike with a smooth field."""

from __future__ import annotations

from typing import Any

from VoxelMorphRegistrationLib.pipeline.training.network import TrainingNetwork

_FLOOR = 5e-4  # squared difference (of 0..1) below which a pair is as good as registered


def objective(network: TrainingNetwork, images: tuple[Any, Any, Any, Any], smoothness: float) -> tuple[Any, Any]:
    """Loss, and the residual alone: the share of the hidden images' squared difference that is left (1: nothing done).

    ``images``: moving, fixed, hidden moving, hidden fixed, each (1, D, H, W, 1). The losses are VoxelMorph's MSE and
    its Grad ("l2") of the velocity, the first divided by its value before, so that faint pairs count as much as strong.
    """
    import tensorflow as tf

    moving, fixed, hidden_moving, hidden_fixed = images
    losses = network.voxelmorph.losses
    velocity = network.velocity(moving, fixed)
    moved = network.moved(hidden_moving, velocity)
    mse = losses.MSE().loss
    residual = mse(hidden_fixed, moved) / (mse(hidden_fixed, hidden_moving) + _FLOOR)
    rough = tf.reduce_mean(losses.Grad("l2", loss_mult=2).loss(None, velocity))
    return residual + smoothness * rough, residual
