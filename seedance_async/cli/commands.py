"""What each command does, in the words of its help and of the reference in the docs."""

from __future__ import annotations

from seedance_async.cli import exits

# In the order in which the help lists them; there it shows the first line of each. It stands here
# and not in the commands' docstrings because reading those means importing the commands.
COMMANDS = {
    "generate": """\
Make one video and bring it to disk.

The task's id is printed on stderr as soon as it is known, and the file's name on stdout at the \
end. Images, videos and sounds are given as public URLs or as asset://ID.

The job is written down in a journal, seedance.sqlite, in the folder of the video.""",
    "batch": """\
Make a video for each line of a file.

JOBS is a file of jobs: JSONL, JSON, YAML, TOML, a .csv table, or .txt with a prompt a line; \
seedance init writes one to begin with. All take the API's field names or Python's, and a name, a \
key, metadata and waive besides.

The whole file is checked before anything is sent. Videos go to the folder --out, each under its \
place in the file and its name; results.jsonl beside them says how every job ended. The files' \
names are printed on stdout as they are finished, unless that is the terminal.

Jobs are written down in a journal, seedance.sqlite, beside the videos. The same command again \
goes on where the last one ended, however it did: what is made is skipped, what runs is waited \
for, what was not sent is sent. Nothing is paid twice.""",
    "validate": """\
Check a file of jobs: every line, every rule.

Prints each fault as FILE:LINE: FIELD: what is wrong [RULE], and how many jobs and seconds of \
video there are. Sends nothing, costs nothing, and needs no key.""",
    "init": """\
Write a file of jobs to begin with.

An example with comments, valid as it is; a file that is there is left as it is. Its name is \
printed on stdout.""",
    "schema": """\
Print the JSON Schema of job files.

With it an editor completes the fields of jobs and marks their faults.""",
    "status": """\
Say how tasks stand.

Prints a line for each task: its id, its status, and for a failed one the reason.""",
    "wait": """\
Wait until tasks have ended.

Prints a line for each task, in the order in which they were given: its id, how it ended, and why \
if it failed.""",
    "download": """\
Bring the videos of tasks to disk.

For tasks of a run that was stopped, gave up waiting, or could not write. Waits for those that \
still run; makes nothing and costs nothing. Each file is named for its task, and one that is there \
is left as it is; only a file that --out names is replaced. The files' names are printed on stdout.

The provider keeps a video for 24 hours.""",
    "assets": """\
Register media in the provider's asset library, look at them, delete them.

Images with faces or virtual avatars must have passed the library's review before they may stand \
in a request, as asset://ID.""",
    "assets register": """\
Register a file or what is behind a URL.

Prints what stands for it in a request, asset://ID. The registration is written down in a journal \
before it is sent, and sent once: the same command again gives the same asset.""",
    "assets get": """\
Say how assets stand.

Prints a line for each: its id, its status (Processing, Active or Failed), its kind and name.""",
    "assets wait": """\
Wait until assets may be used.

Prints a line for each as assets get does, in the order in which they were given.""",
    "assets delete": """\
Delete assets at the provider, for good.""",
    "jobs": """\
Show what the journal knows of jobs.

Lists the jobs of a batch, or of generate: their states, keys and tasks, when they last changed, \
and their files or what went wrong. With KEYs, all about these jobs, with their histories. Works \
while a batch is running.

With --dsn, the same of the jobs that many machines share; see seedance worker. What settle, \
retry, forget and export do is for a journal.""",
    "jobs settle": """\
Say what became of an unknown job.

The answer to its create got lost, so that nobody here knows whether there is a task. Look in the \
provider's billing; then say which one it is, or that there is none. Sends nothing.""",
    "report": """\
Write one HTML page about a batch.

A page to look at: the videos with their prompts, settings and states, to filter and sort; \
failures by their reasons; where each job's time went; how long videos took. It is one file that \
asks nobody for anything, and plays the videos from where they are. Works while a batch is \
running. The page's name is printed on stdout.""",
    "jobs retry": """\
Let failed jobs be made anew by the next run.

What failed stays in the journal, as KEY~1, with its task and its history; KEY is free, and the \
next run of the same batch makes a new job of it AND PAYS FOR IT. Sends nothing itself. Jobs that \
were refused without a task need none of this: every run tries them again.""",
    "jobs forget": """\
Drop the records of jobs.

For what is over. The files stay. Never drops what may have been paid for and is not on disk. A \
run of the same jobs makes forgotten ones anew, AND PAYS FOR THEM.""",
    "jobs export": """\
Write all records as a table or as JSON lines.

The fields are those of jobs --json; in a table, those of the request have columns of their own. \
Prompts are among them; addresses of videos are not.""",
    "worker": """\
Do the jobs of accounts that many machines share.

The jobs are in a database, where seedance_async.distributed hands them in; any number of \
workers on any machines do them, and together keep each account's limits. It works until SIGTERM \
or Ctrl-C: creates on the wire are finished then, and other workers go on with what is under \
way. Needs the extra distributed.""",
    "worker migrate": """\
Make or update the tables of a database.

For a worker that is started with --no-migrate, as a role that may not. Of SQLite every worker \
makes its own.""",
    "worker set-limit": """\
Change what an account may do over all its workers.

Workers follow within seconds. Without options it only shows what is in force.""",
    "worker adopt": """\
Say which task an unknown job has.

The answer to its create got lost. Look in the provider's billing; a worker waits for the task \
that you found there. Sends nothing.""",
    "worker resubmit": """\
Make jobs anew that failed or are unknown.

They MAY BE PAID FOR TWICE: look in the provider's billing first. What a failed task came to is \
kept as the job KEY~1.""",
    "worker cancel": """\
Have no more done about a job than has to be.

One that was not sent is not sent. One that was goes on at the provider and is billed; its video \
is not brought in.""",
    "worker prune": """\
Forget jobs that ended long ago.

Unknown ones and those under way never. Their keys are free: handed in again, they are made anew \
AND PAID FOR.""",
    "worker metrics": """\
Print how many jobs and workers there are, for Prometheus.

The gauges seedance_jobs, by account and state, and seedance_workers, by account; in the text \
format that a textfile collector reads.""",
    "doctor": """\
Look for what could keep videos from being made.

The address and the way to it, the key (never shown), the clock, what is installed, the config \
file, the journal here and the room for videos: a line for each, with what to do. Spends nothing: \
with a key it makes one call, a query of a task that cannot exist, to the configured address \
alone.""",
    "key": """\
Keep a profile's API key in the operating system's keyring.

For profiles that have keyring = true in the config file. Needs the extra keyring.""",
    "key set": """\
Put a profile's key into the keyring.

Asks for it without showing it, or reads a line from stdin; a key never stands on a command line, \
where others would see it.""",
    "key forget": """\
Take a profile's key out of the keyring.""",
    "completion": """\
Print what makes a shell complete commands and options.

For bash, put it into ~/.local/share/bash-completion/completions/seedance; for zsh, into a file \
_seedance in a folder of $fpath; for fish, into ~/.config/fish/completions/seedance.fish.""",
    "emulator": """\
Run the API on this machine: no key, no money, test pictures.

It checks the key and every rule, walks tasks through their states, and hands out real MP4 files. \
Ctrl-C ends it, with exit code 0.""",
}

# For the end of each help; at most 78 columns, so that nothing wraps.
EXAMPLES: dict[str, tuple[str, ...]] = {
    "": (
        'seedance generate "A cat dancing in the rain" --emulate',
        "seedance batch jobs.jsonl --out videos",
        "seedance doctor",
    ),
    "generate": (
        'seedance generate "A cat dancing in the rain" --emulate',
        'seedance generate "A heron at dawn" --duration 8 --out heron.mp4',
        'seedance generate "It comes to life" --first-image https://…/a.png',
        'seedance generate "A heron at dawn" --key heron-1 --profile work',
    ),
    "batch": (
        "seedance batch jobs.jsonl --out rehearsal --emulate",
        "seedance batch jobs.csv --out videos --max-in-flight 10",
        "seedance batch jobs.yaml --out videos --dry-run",
        "seedance batch prompts.txt --set model=seedance_2_0_pro --out videos",
        "seedance batch jobs.jsonl --out videos --max-cost 25 --prices p.toml",
        "my-prompts | seedance batch - --out videos",
    ),
    "validate": (
        "seedance validate jobs.yaml",
        "seedance validate jobs.jsonl --json",
        "seedance validate prompts.txt --set model=seedance_2_0_pro",
    ),
    "init": ("seedance init", "seedance init jobs.toml"),
    "schema": (
        "seedance schema > job.schema.json",
        "seedance schema --manifest > jobs.schema.json",
    ),
    "report": ("seedance report --open", "seedance report --journal videos --no-prompts"),
    "status": ("seedance status video_…", "seedance status --from videos/results.jsonl --json"),
    "wait": ("seedance wait video_… --timeout 600",),
    "download": (
        "seedance download video_… --out cat.mp4",
        "seedance download --from videos/results.jsonl --out videos",
    ),
    "assets": ("seedance assets register https://…/face.png --kind image --wait",),
    "assets register": (
        "seedance assets register https://…/face.png --kind image --wait",
        "seedance assets register face.png --kind image --publish s3://bucket",
    ),
    "assets get": ("seedance assets get asset-20260330142158-q75m8",),
    "assets wait": ("seedance assets wait asset-20260330142158-q75m8",),
    "assets delete": ("seedance assets delete asset-20260330142158-q75m8",),
    "jobs": (
        "seedance jobs",
        "seedance jobs --state unknown --state failed",
        "seedance jobs heron",
        "seedance jobs --follow --journal videos",
        "seedance jobs --dsn postgresql://bot@db.example.com/seedance",
    ),
    "jobs settle": (
        "seedance jobs settle heron --task-id video_…",
        "seedance jobs settle heron --not-created",
    ),
    "jobs retry": ("seedance jobs retry --failed", "seedance jobs retry heron food-1"),
    "jobs forget": (
        "seedance jobs forget heron",
        "seedance jobs forget --older-than 30d --yes",
    ),
    "jobs export": (
        "seedance jobs export --out jobs.csv",
        "seedance jobs export --format jsonl | grep heron",
    ),
    "worker": (
        "seedance worker --dsn sqlite:///jobs.db --out videos",
        "seedance worker --account studio --out s3://bucket/videos --no-migrate",
    ),
    "worker migrate": ("seedance worker migrate --role seedance_worker",),
    "worker set-limit": (
        "seedance worker set-limit main",
        "seedance worker set-limit main --max-in-flight 40",
    ),
    "worker adopt": ("seedance worker adopt tg:12345:678 video_…",),
    "worker resubmit": ("seedance worker resubmit tg:12345:678 --reason 'not in the billing'",),
    "worker cancel": ("seedance worker cancel tg:12345:678",),
    "worker prune": ("seedance worker prune --older-than 30d",),
    "worker metrics": ("seedance worker metrics > seedance.prom",),
    "doctor": ("seedance doctor", "seedance doctor --profile work --json"),
    "key": ("seedance key set --profile work",),
    "key set": (
        "seedance key set --profile work",
        "pass show seedance | seedance key set --profile work",
    ),
    "key forget": ("seedance key forget --profile work",),
    "completion": (
        "seedance completion zsh > ~/.zfunc/_seedance",
        "seedance completion fish > ~/.config/fish/completions/seedance.fish",
    ),
    "emulator": (
        "seedance emulator --speed 60",
        "seedance emulator --fault create.reset_after_accept=0.05",
    ),
}

#: The variables of the environment that are read, and what each says.
ENVIRONMENT = {
    "SEEDANCE_API_KEY": "The API key, where no profile is in force.",
    "SEEDANCE_BASE_URL": "The service's address, where no profile is in force: all of it that "
    "stands before /v1. The provider's own if not set.",
    "SEEDANCE_PROFILE": "The profile to use where --profile names none.",
    "SEEDANCE_CONFIG": "The config file, in the place of the usual one.",
    "SEEDANCE_DSN": "The database of many machines, for seedance worker and seedance jobs, where "
    "--dsn names none.",
    "AWS_ACCESS_KEY_ID": "With AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL: the bucket "
    "that --publish names, and --out of a worker.",
    "SSL_CERT_FILE": "Authorities to trust, in the place of the system's.",
    "COLUMNS": "How wide the terminal is taken to be.",
    "NO_COLOR": "If set, no colours.",
}

#: The files that are read and written, and what each is.
FILES = {
    "seedance.sqlite": "The journal, the record of jobs, in the folder of the videos.",
    "emulated.sqlite": "The same of --emulate.",
    "seedance.sqlite.lock": "Who is writing the journal; there while somebody does.",
    "results.jsonl": "How each job of a batch ended, in the folder of the videos.",
    "~/.config/seedance/config.toml": "The config file with the profiles, on Linux; seedance "
    "doctor names it on other systems.",
}


def ending(command: str) -> str:
    """Give the end of a command's help, the empty one's being that of ``seedance`` itself."""
    shown = "\n".join(["Examples:", *(f"  {example}" for example in EXAMPLES[command])])
    codes = exits.table(command) if command else exits.TABLE
    return "\n\n".join(filter(None, (shown, codes)))
