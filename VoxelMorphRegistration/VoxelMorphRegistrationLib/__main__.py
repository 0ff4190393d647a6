"""``python -m VoxelMorphRegistrationLib`` is the command line."""

import sys

from VoxelMorphRegistrationLib.pipeline.command_line import main

sys.exit(main())
