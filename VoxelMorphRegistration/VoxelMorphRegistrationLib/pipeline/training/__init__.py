"""Training of a registration network: synthetic pairs, VoxelMorph's network and losses, and fine-tuning."""
