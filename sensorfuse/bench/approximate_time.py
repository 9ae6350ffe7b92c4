"""ROS's ApproximateTime policy, to compare with.

After its description (wiki.ros.org/message_filters/ApproximateTime) and the account in Wu et al., "Analysis and
optimization of message synchronization policies in ROS", RTSS 2022: a queue per topic; of all sets contiguous to the
last one, that of the smallest time span is published, as soon as no set to come can be better.

This follows what `message_filters` does where the description leaves it open: an age penalty of 0.1, queues of bounded
length, and topics that have lost a message not being pivot.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

AGE_PENALTY = 0.1


class Message(NamedTuple):
    """A message as the policy sees it: its stamp alone counts; `number` tells it from others."""

    stamp_ns: int
    number: int


@dataclass
class _Topic:
    ahead: deque[Message] = field(default_factory=deque)  # still to be considered
    passed: list[Message] = field(default_factory=list)  # set aside while a better set is looked for
    lost: bool = False  # a message was dropped since the last set that it could have been in

    def take_back(self) -> None:
        """What was set aside is to be considered again."""
        self.ahead.extendleft(reversed(self.passed))
        self.passed.clear()


@dataclass
class _Candidate:
    """The best set so far, whose span runs from `start` to `end`, and the pivot: the topic whose message no better set
    can go without.
    """

    members: list[Message]
    start_ns: int
    end_ns: int
    pivot: int
    pivot_ns: int


class ApproximateTime:
    """Sets of one message per topic. `add` gives the sets that a message completes.

    Args:
        topics: how many.
        queue: messages held per topic; with one more the oldest is dropped.
    """

    def __init__(self, topics: int, queue: int) -> None:
        self._queue = queue
        self._topics = [_Topic() for _ in range(topics)]
        self._best: _Candidate | None = None

    def add(self, topic: int, message: Message) -> list[list[Message]]:
        """A message came; messages of one topic come in the order of their stamps."""
        here = self._topics[topic]
        here.ahead.append(message)
        sets = self._search() if len(here.ahead) == 1 else []
        if len(here.ahead) + len(here.passed) > self._queue:
            for t in self._topics:
                t.take_back()
            here.ahead.popleft()
            here.lost = True
            if self._best is not None:
                self._best = None
                sets += self._search()
        return sets

    def _search(self) -> list[list[Message]]:
        sets: list[list[Message]] = []
        while all(t.ahead for t in self._topics):
            stamps = [t.ahead[0].stamp_ns for t in self._topics]
            first = min(range(len(stamps)), key=stamps.__getitem__)
            last = max(range(len(stamps)), key=lambda i: (stamps[i], i))
            for i, t in enumerate(self._topics):
                if i != last:
                    t.lost = False  # a dropped message would have been no better than the one at hand
            best = self._best
            if best is None:
                if self._topics[
                    last
                ].lost:  # cannot be pivot: the one before, which was dropped, might have been better
                    self._topics[first].ahead.popleft()
                    continue
                self._make_best(stamps[first], stamps[last], last, stamps[last])
            elif self._worth(stamps[last], best) < stamps[first] - best.start_ns:
                self._make_best(stamps[first], stamps[last], best.pivot, best.pivot_ns)
            best = self._best
            assert best is not None
            self._set_aside(first)
            exhausted = first == best.pivot or self._worth(stamps[last], best) >= best.pivot_ns - best.start_ns
            if exhausted or (not all(t.ahead for t in self._topics) and self._proven(best)):
                sets.append(self._publish(best))
        return sets

    def _worth(self, end_ns: int, best: _Candidate) -> float:
        """What a set that ends at `end_ns` costs over the best one at its end; it must win more at its start."""
        return (end_ns - best.end_ns) * (1 + AGE_PENALTY)

    def _make_best(self, start_ns: int, end_ns: int, pivot: int, pivot_ns: int) -> None:
        self._best = _Candidate([t.ahead[0] for t in self._topics], start_ns, end_ns, pivot, pivot_ns)
        for t in self._topics:
            t.passed.clear()

    def _set_aside(self, topic: int) -> None:
        here = self._topics[topic]
        here.passed.append(here.ahead.popleft())

    def _proven(self, best: _Candidate) -> bool:
        """Whether no message to come can make a better set: those of a topic without one lie at the pivot or after
        what it had, since it delivers in order.
        """
        heads = [deque(m.stamp_ns for m in t.ahead) for t in self._topics]
        floors = [max(best.pivot_ns, t.passed[-1].stamp_ns if t.passed else 0) for t in self._topics]
        while True:
            stamps = [h[0] if h else floor for h, floor in zip(heads, floors, strict=True)]
            first = min(range(len(stamps)), key=stamps.__getitem__)
            worth = self._worth(max(stamps), best)
            if worth >= best.pivot_ns - best.start_ns:
                return True
            if worth < stamps[first] - best.start_ns or not heads[first]:
                return False
            heads[first].popleft()

    def _publish(self, best: _Candidate) -> list[Message]:
        """The set goes out; what was set aside is considered again, and each topic's member is done with."""
        self._best = None
        for t in self._topics:
            t.take_back()
            t.ahead.popleft()
        return best.members
