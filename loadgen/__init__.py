# SPDX-License-Identifier: Apache-2.0
"""A load generator for LLM services that tells the truth while the service is breaking.

>>> profile = Profile(base_url="http://127.0.0.1:8000", model="tiny", rate_per_s=2, duration_s=60)
>>> result = await run(profile, Path("out"))
"""

from loadgen.arrivals import Arrivals
from loadgen.errors import LoadgenError, OutputError, ProfileError, TargetError
from loadgen.merging import merge
from loadgen.profile import Profile, Timeouts
from loadgen.prompts.spec import Prompts
from loadgen.result import Result
from loadgen.runner import Sharing, run
from loadgen.shard import Shard
from loadgen.workload import Api, Bursts, ClosedLoop, Lengths, Trace

__all__ = [
    "Api",
    "Arrivals",
    "Bursts",
    "ClosedLoop",
    "Lengths",
    "LoadgenError",
    "OutputError",
    "Profile",
    "ProfileError",
    "Prompts",
    "Result",
    "Shard",
    "Sharing",
    "TargetError",
    "Timeouts",
    "Trace",
    "merge",
    "run",
]
