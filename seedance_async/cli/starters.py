"""The examples that ``seedance init`` writes: the same jobs in each format, with its comments.

Each is valid as it is, and small: somebody will run it before reading it.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.frozen
class Starter:
    """An example.

    Attributes:
        text: What is written.
        options: What the commands need besides the file.
    """

    text: str
    options: tuple[str, ...] = ()


def of(suffix: str) -> Starter | None:
    """Give the example for a file's ending, in lower case; None where there is none."""
    return _STARTERS.get(suffix)


_YAML = """\
# Jobs for `seedance batch`: one video for each entry of jobs.
#
# Check it, which costs nothing:  seedance validate FILE
# All fields and formats are on the page "Job files" of the docs. A text with a colon, a # or a
# quote in it needs quotes around it, or a | and a block of its own, as below.

# What all jobs have, unless they say otherwise.
defaults:
  model: seedance_2_0_fast_pro   # or seedance_2_0_pro: slower, better
  duration: 5                    # seconds, 4 to 15
  aspect_ratio: 16:9             # 16:9 4:3 1:1 3:4 9:16 21:9 adaptive

# Every job times every combination: without the # there would be 3 x 2 = 6 videos.
# matrix:
#   aspect_ratio: [16:9, 9:16]

jobs:
  - key: heron                   # your own id: run again, the same key is not paid for again
    name: Heron at dawn          # becomes part of the file's name
    prompt: A heron stands in shallow water at dawn, mist drifting past. Slow push in.

  - key: ramen
    name: Ramen
    generate_audio: false
    prompt: |
      Macro shot: a bowl of ramen, steam curling up.
      Chopsticks lift the noodles.

  - key: tram
    name: Tram
    aspect_ratio: 9:16
    duration: 4
    prompt: An old tram turns a corner in the rain, its lights in the wet street.
    # first_image: https://example.com/tram.png   # a public URL, or with --publish a file
    # metadata: {campaign: city}                  # anything of your own; kept, never sent
"""

_TOML = """\
# Jobs for `seedance batch`: one video for each [[jobs]].
#
# Check it, which costs nothing:  seedance validate FILE
# All fields and formats are on the page "Job files" of the docs.

# What all jobs have, unless they say otherwise.
[defaults]
model = "seedance_2_0_fast_pro"   # or seedance_2_0_pro: slower, better
duration = 5                      # seconds, 4 to 15
aspect_ratio = "16:9"             # 16:9 4:3 1:1 3:4 9:16 21:9 adaptive

# Every job times every combination: without the # there would be 3 x 2 = 6 videos.
# [matrix]
# aspect_ratio = ["16:9", "9:16"]

[[jobs]]
key = "heron"                     # your own id: run again, the same key is not paid for again
name = "Heron at dawn"            # becomes part of the file's name
prompt = "A heron stands in shallow water at dawn, mist drifting past. Slow push in."

[[jobs]]
key = "ramen"
name = "Ramen"
generate_audio = false
prompt = \"\"\"
Macro shot: a bowl of ramen, steam curling up.
Chopsticks lift the noodles.\"\"\"

[[jobs]]
key = "tram"
name = "Tram"
aspect_ratio = "9:16"
duration = 4
prompt = "An old tram turns a corner in the rain, its lights in the wet street."
# first_image = "https://example.com/tram.png"   # a public URL, or with --publish a file
# metadata = { campaign = "city" }               # anything of your own; kept, never sent
"""

_JSON = """\
{
  "defaults": {"model": "seedance_2_0_fast_pro", "duration": 5, "aspect_ratio": "16:9"},
  "jobs": [
    {
      "key": "heron",
      "name": "Heron at dawn",
      "prompt": "A heron stands in shallow water at dawn, mist drifting past. Slow push in."
    },
    {
      "key": "ramen",
      "name": "Ramen",
      "generate_audio": false,
      "prompt": "Macro shot: a bowl of ramen, steam curling up. Chopsticks lift the noodles."
    },
    {
      "key": "tram",
      "name": "Tram",
      "aspect_ratio": "9:16",
      "duration": 4,
      "prompt": "An old tram turns a corner in the rain, its lights in the wet street."
    }
  ]
}
"""

_JSONL = """\
{"model": "seedance_2_0_fast_pro", "key": "heron", "name": "Heron at dawn", "prompt": "A heron \
stands in shallow water at dawn, mist drifting past. Slow push in."}
{"model": "seedance_2_0_fast_pro", "key": "ramen", "name": "Ramen", "generate_audio": false, \
"prompt": "Macro shot: a bowl of ramen, steam curling up. Chopsticks lift the noodles."}
{"model": "seedance_2_0_fast_pro", "key": "tram", "name": "Tram", "aspect_ratio": "9:16", \
"duration": 4, "prompt": "An old tram turns a corner in the rain, its lights in the wet street."}
"""

_CSV = """\
key,name,model,prompt,duration,aspect_ratio,generate_audio
heron,Heron at dawn,seedance_2_0_fast_pro,"A heron stands in shallow water at dawn, mist drifting \
past. Slow push in.",,,
ramen,Ramen,seedance_2_0_fast_pro,"Macro shot: a bowl of ramen, steam curling up. Chopsticks lift \
the noodles.",,,no
tram,Tram,seedance_2_0_fast_pro,"An old tram turns a corner in the rain, its lights in the wet \
street.",4,9:16,
"""

_TEXT = """\
A heron stands in shallow water at dawn, mist drifting past. Slow push in.
Macro shot: a bowl of ramen, steam curling up. Chopsticks lift the noodles.
An old tram turns a corner in the rain, its lights in the wet street.
"""

_STARTERS: Mapping[str, Starter] = {
    ".yaml": Starter(_YAML),
    ".yml": Starter(_YAML),
    ".toml": Starter(_TOML),
    ".json": Starter(_JSON),
    ".jsonl": Starter(_JSONL),
    ".csv": Starter(_CSV),
    ".txt": Starter(_TEXT, ("--set", "model=seedance_2_0_fast_pro")),
}
SUFFIXES = tuple(_STARTERS)
