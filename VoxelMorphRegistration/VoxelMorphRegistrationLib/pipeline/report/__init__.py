"""What people look at: one HTML file for a registered pair, a sequence or a batch."""
