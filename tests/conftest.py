"""Hypothesis profiles: `quick` finds a failure without shrinking it (development); the default is what CI runs."""

import os

from hypothesis import Phase, settings

settings.register_profile("ci", deadline=None, print_blob=True)
settings.register_profile("quick", deadline=None, phases=[Phase.explicit, Phase.generate])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
