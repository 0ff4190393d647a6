"""``python -m VoxelMorphRegistrationLib`` is the command line."""

import sys

from VoxelMorphRegistrationLib.commands.main import main

sys.exit(main())
