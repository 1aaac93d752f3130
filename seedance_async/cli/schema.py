"""``seedance schema``: the JSON Schema of job files, for editors."""

from __future__ import annotations

from seedance_async.cli.options import Flag


def schema(*, manifest: Flag = False) -> int:
    """Print the JSON Schema of a job.

    Parameters
    ----------
    manifest
        Print that of a whole JSON, YAML or TOML file instead.
    """
    import json

    from seedance_async import schema as schemas
    from seedance_async.cli.terminal import Terminal

    shown = schemas.manifest_schema() if manifest else schemas.job_schema()
    Terminal().give(json.dumps(shown, indent=2))
    return 0
