"""Hypothesis profiles.

`ci` (where CI=true) tries the same examples every time, so that a verdict can be repeated; `default` draws new ones each run;
`quick` finds a failure without shrinking it.
"""

import os

from hypothesis import Phase, settings

settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
settings.register_profile("default", deadline=None, print_blob=True)
settings.register_profile("quick", deadline=None, phases=[Phase.explicit, Phase.generate])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") == "true" else "default"))
