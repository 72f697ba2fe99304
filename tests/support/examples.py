"""How many examples hypothesis tries: few, or many with `HYPOTHESIS_PROFILE=thorough`."""

import os

from hypothesis import HealthCheck, settings

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "quick")
NUMBER = {"quick": 50, "thorough": 200}[PROFILE]

# How long an example takes depends on the machine, and on what else the machine does.
settings.register_profile(PROFILE, deadline=None, max_examples=NUMBER)
settings.load_profile(PROFILE)

# Where an example calls functions that take microseconds.
MANY = settings(max_examples=4 * NUMBER)
# Where an example executes statements. All examples of a test share its fixtures.
FEW = settings(
    max_examples=NUMBER // 5, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
