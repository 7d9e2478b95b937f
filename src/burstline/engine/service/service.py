"""What goes on beside a run as a service, at the moments at which it can."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from burstline.engine.config import Service as Settings
from burstline.engine.service import notify, privileges
from burstline.engine.service.keeper import Keeper

if TYPE_CHECKING:
    from burstline.engine.versions import Versions


class Service:
    """By `[service]`. `beside` is entered while the workers work, by a thread that has what privileges are kept. Raises
    UsageError or BurstlineError for a user that cannot be had."""

    def __init__(self, settings: Settings, say: Callable[[str], None] = lambda line: None) -> None:
        self.user = privileges.user_of(settings.user) if settings.user else None
        if self.user:
            privileges.begin()
        self.say = say
        self.keeper = Keeper(Path(settings.state), settings.state_interval, say) if settings.state else None
        self.beside: list[Callable[[], AbstractContextManager[object]]] = []

    @contextmanager
    def working(self, versions: Versions, devices: Sequence[str] = ()) -> Iterator[None]:
        """While the workers work: they are linked, and begin inside. `devices`, as written after `dpdk:`, are open."""
        with ExitStack() as stack:
            self._become_user(versions, devices)
            if self.keeper:
                self.keeper.load(versions)  # as that user, who can write what it has
                stack.enter_context(self.keeper.keeping(versions))
            for make in self.beside:
                stack.enter_context(make())
            notify.ready(f"{len(versions.contexts)} workers")
            stack.callback(notify.stopping)
            yield

    def _become_user(self, versions: Versions, devices: Sequence[str]) -> None:
        if self.user is None:
            return
        import numpy  # what is needed at the end is here, whatever the user may read

        for module in (os, numpy):
            if not privileges.may_read(self.user, str(module.__file__)):
                self.say(
                    f"{self.user.name} may not read {module.__file__}: an application that is loaded again may fail"
                )
        if versions.publisher:
            versions.publisher.hand_over(self.user.uid, self.user.gid)
        keep = privileges.had(privileges.needed(devices))
        privileges.drop(self.user, keep)
        self.say(privileges.described(self.user, keep))
