"""The whole registration job timed and judged beside the peers: see `compare_with_peers`."""
