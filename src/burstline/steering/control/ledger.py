"""What steering has won and lost against plain RSS, which the same snapshots tell: a stake that may be lost, once.

No policy that ever steers is as good as plain RSS at every moment of every trace: whoever knows where flows were put
can send next what suits their old places. What can be kept is a bound. Steering ends when it has lost `stake` more than
it has won, for a time that doubles each time, unless it has won its credit back in between. So, however long the trace
and whatever is in it, what was lost in all is at most one stake, and what comes until the roll-back is effective, for
each doubling of the time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

CREDIT = 10.0  # stakes: gains beyond are not kept, so that a policy that was good for hours still ends soon
RESTS = 0.1


@dataclass(frozen=True)
class Ledger:
    """In cores times looks, `balance` since the last ban; steering is off until `until`, and was so `bans` times."""

    balance: float = 0.0
    until: float = float("-inf")
    bans: int = 0
    lately: float = 0.0  # lost at the last look

    def after(self, plain: float, ours: float, stake: float) -> Ledger:
        """A look at which plain RSS would have cost `plain`, and steering did cost `ours`."""
        balance = min(CREDIT * stake, self.balance + plain - ours)
        bans = 0 if balance >= CREDIT * stake else self.bans
        return replace(self, balance=balance, bans=bans, lately=max(0.0, ours - plain))

    def paid(self, cost: float) -> Ledger:
        """After moves that cost so much."""
        return replace(self, balance=self.balance - cost)

    def is_lost(self, stake: float) -> bool:
        """Whether the stake is lost, or will be when another look like the last one comes until the roll-back."""
        return self.balance - self.lately < -stake

    def rests(self, time: float, calm: float) -> Ledger:
        """No steering for a tenth of `calm` seconds; what was won and lost stays."""
        return replace(self, until=time + calm * RESTS)

    def is_rich(self, stake: float) -> bool:
        """Whether steering has won enough to be trusted sooner."""
        return stake > 0 and self.balance >= CREDIT / 2 * stake

    def banned(self, time: float, calm: float) -> Ledger:
        """The stake is lost: no steering for `calm` seconds, doubled for each time before, and then a new one."""
        return Ledger(0.0, time + calm * 2.0**self.bans, self.bans + 1)
