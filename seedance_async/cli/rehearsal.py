"""``seedance batch --dry-run``: all that a run would do, told; nothing sent, nothing written."""

from __future__ import annotations

import json

import attrs

import seedance_async
from seedance_async.cli import exits, files, past
from seedance_async.cli.complaints import complain
from seedance_async.cli.left import spelled
from seedance_async.cli.manifest import Manifest
from seedance_async.cli.order import Order
from seedance_async.cli.outlook import Known, Outlook, look_ahead
from seedance_async.cli.past import Past, Stand
from seedance_async.cli.service import Service
from seedance_async.cli.terminal import Terminal, count
from seedance_async.errors import JournalError
from seedance_async.journal import SqliteJournal
from seedance_async.learned import RATES, TURNAROUNDS
from seedance_async.rates import Rates
from seedance_async.turnaround import Turnarounds


@attrs.define
class Rehearsal:
    """A run that is only told of."""

    manifest: Manifest
    terminal: Terminal
    service: Service
    order: Order

    async def to_its_end(self) -> int:
        """Tell of it, and give the exit code."""
        before, rates, turnarounds = await self._look_back()
        manifest = past.checked(self.manifest, before)
        self._complain(manifest, self.manifest)
        seen = await self._look_at_files(manifest, before)
        self._complain(seen, manifest)
        keys = tuple(
            None if line.faults else key for line, key in zip(seen.lines, before.keys, strict=True)
        )
        before = attrs.evolve(before, keys=keys)
        outlook = look_ahead(seen, before, self._known(rates, turnarounds))
        self._tell(outlook)
        return exits.OK

    def _complain(self, manifest: Manifest, before: Manifest) -> None:
        known, skips = before.invalid_places, self.order.skip_invalid
        complain(manifest, self.terminal, skip_invalid=skips, known=known)

    async def _look_back(self) -> tuple[Past, Rates, Turnarounds]:
        """Read what the journal knows, if there is one, without touching it."""
        path, out = self.order.journal, self.order.out
        if not path.exists():
            return past.nothing(self.manifest), Rates(), Turnarounds()
        try:
            async with SqliteJournal(path, read_only=True) as journal:
                before = await past.look_back(journal, self.manifest, out)
                rates = Rates.from_json(await journal.recall(RATES))
                turnarounds = Turnarounds.from_json(await journal.recall(TURNAROUNDS))
        except JournalError as error:
            raise exits.CannotStart(error.message) from error
        if self.service.emulate:  # what another emulator had is gone with it
            done = {key: job for key, job in before.known.items() if key in before.on_disk}
            before = attrs.evolve(before, known=done, aside=())
        return before, rates, turnarounds

    async def _look_at_files(self, manifest: Manifest, before: Past) -> Manifest:
        """Look at local files; for that alone a session does without a key."""
        session = seedance_async.SeedanceSession(
            "none-is-needed", base_url="http://localhost", media_root=self.order.media_root
        )
        async with session:
            return await files.checked(
                session,
                manifest,
                before,
                resubmits=self.order.on_unknown == "resubmit",
                takes_files=self.service.takes_files,
            )

    def _known(self, rates: Rates, turnarounds: Turnarounds) -> Known:
        return Known(
            rates=rates,
            prices=self.order.prices,
            budget=self.order.budget,
            resubmits=self.order.on_unknown == "resubmit",
            turnarounds=None if self.service.has_own_time else turnarounds,
            slots=self.order.slots,
        )

    def _tell(self, outlook: Outlook) -> None:
        if self.order.as_json:
            for each in outlook.objects():
                self.terminal.give(json.dumps(each))
            return
        jobs = count(len(self.manifest.lines), "job")
        self.terminal.give(f"{jobs} from {self.manifest.source}, videos to {self.order.out}")
        for line in outlook.lines():
            self.terminal.give(line)
        unfinished = outlook.to_send + outlook.past.counts[Stand.RUNNING]
        if outlook.estimate is not None and unfinished:
            time = spelled(outlook.estimate).replace(" left", "")
            self.terminal.give(f"  takes {time} with {self.order.slots} in flight")
        self.terminal.say("dry run: nothing was sent or written")
