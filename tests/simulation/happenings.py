"""What happens to the processes while the weather is bad, and who puts it right when it clears."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from hpo_pipe.study import OpenStudy
from tests.simulation.processes import Actor, run_wish
from tests.simulation.recipe import WorkerPlan
from tests.simulation.world import Role, World

Wish = Callable[[OpenStudy], object]


class Happenings:
    """Starts the crew, harries it, and looks after it from the moment when the weather clears."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = random.Random(f"happenings/{world.recipe.seed}")
        self._resuming: Actor | None = None

    def begin(self) -> None:
        """Start what there is, over the first seconds, and all that will go wrong."""
        world, recipe = self._world, self._world.recipe
        for number in range(recipe.coordinators):
            self._start(Role("coordinator"), first=number == 0)
        for number, plan in enumerate(recipe.workers):
            self._start(Role("worker", plan), first=number == 0)
        if recipe.cron_s is not None:
            self._every(recipe.cron_s, lambda: self._cron(), jitter=False)
        self._every(recipe.kill_every_s, lambda: world.kill(self._one()))
        self._every(recipe.pause_every_s, lambda: world.pause(self._one()))
        self._every(recipe.interrupt_every_s, self._interrupt)
        if recipe.bad_clocks:
            self._every(5.0, lambda: self._one().clock.set_wall(self._rng.uniform(-3600.0, 3600.0)))
        if recipe.jumping_clocks:
            self._every(8.0, lambda: self._one().clock.jump(self._rng.uniform(0.0, 3.0) * recipe.lease_s))
        for _ in range(recipe.wishes):
            world.hub.at(self._rng.uniform(0.5, recipe.clear_s), self._wish)

    def clear_up(self) -> None:
        """Nothing goes wrong any more; whoever stood still goes on."""
        world = self._world
        world.weather.clear, world.weather.clear_since = True, world.hub.now
        world.tell("world", "the weather clears", "")
        for actor in world.alive():
            actor.process.thaw()
        self.mend()

    def mend(self) -> None:
        """Keep what is needed: a worker, somebody who decides, and a study that is not paused."""
        world = self._world
        if world.auditor.closed or not world.weather.clear:
            return
        for role in world.roles:
            if role.resting:
                world.keep(role)
        kinds = {role.kind for role in world.roles}
        plans = [role.plan for role in world.roles if role.plan is not None]
        if "worker" not in kinds or all(plan.drain for plan in plans):
            self._start(Role("worker", WorkerPlan()), first=True)
        starters = any(plan.starts_coordinator and plan.patient for plan in plans)
        if "coordinator" not in kinds and world.recipe.cron_s is None and not starters:
            self._start(Role("coordinator"), first=True)
        resuming = self._resuming is not None and self._resuming.process.alive
        if world.auditor.log.history.paused and not resuming:
            self._resuming = self._user(lambda study: study.resume())

    def dismiss(self) -> None:
        """The study is over: end what still runs."""
        self._world.dismissed = True
        for actor in self._world.alive():
            if actor.interruption is not None:
                actor.interruption.request("SIGTERM")
            actor.ended.set()
            actor.process.wake()

    def reopen(self) -> None:
        """Start the crew again."""
        self._world.dismissed = False
        self.mend()

    def _start(self, role: Role, *, first: bool) -> None:
        world = self._world
        world.roles.append(role)
        late_s = 1.0 if first or self._rng.random() < 0.6 else world.recipe.clear_s
        world.hub.after(self._rng.random() * late_s, lambda: world.keep(role))

    def _every(self, mean_s: float | None, happen: Callable[[], object], *, jitter: bool = True) -> None:
        """Let something happen again and again; what is random ends when the weather clears."""
        if mean_s is None:
            return
        world = self._world

        def once() -> None:
            if jitter and world.weather.clear:
                return
            if not jitter and world.auditor.closed:
                return
            if world.alive() or not jitter:
                happen()
            world.hub.after(self._rng.expovariate(1.0 / mean_s) if jitter else mean_s, once)

        world.hub.after(self._rng.uniform(0.0, mean_s), once)

    def _one(self) -> Actor:
        return self._rng.choice(self._world.alive())

    def _cron(self) -> None:
        self._world.tick_once()

    def _interrupt(self) -> None:
        """SIGTERM; now and then a second one soon after, and a third, which kills."""
        actor, world = self._one(), self._world
        world.counts["interruptions"] += 1
        self._signal(actor)
        delay_s = 0.0
        while self._rng.random() < 0.3:
            delay_s += self._rng.uniform(0.01, 2.0)
            world.hub.after(delay_s, lambda: self._signal(actor))

    def _signal(self, actor: Actor) -> None:
        if not actor.process.alive:
            return
        self._world.tell(actor.name, "SIGTERM", "")
        interruption = actor.interruption
        if interruption is not None and interruption.count >= 2:
            self._world.kill(actor)
        elif interruption is not None:
            interruption.request("SIGTERM")
        elif actor.kind in ("worker", "user"):
            self._world.kill(actor)  # nothing catches it yet
        else:
            actor.ended.set()
        actor.process.wake()

    def _user(self, wish: Wish) -> Actor:
        world = self._world
        return world.actor("user", lambda actor: run_wish(world, actor, wish), lambda: None)

    def _wish(self) -> None:
        rng, history = self._rng, self._world.auditor.log.history
        trial = rng.randrange(len(history.trials) + 1)
        some = rng.randint(1, 2)
        lr = rng.uniform(0.0, 0.2)
        wishes: tuple[tuple[str, Wish], ...] = (
            ("pause", lambda study: study.pause()),
            ("resume", lambda study: study.resume()),
            ("stop a trial", lambda study: study.stop(trial)),
            ("stop a trial", lambda study: study.stop(trial)),
            ("enqueue", lambda study: study.enqueue({"lr": lr})),
            ("retry", lambda study: study.retry(trial)),
            ("retry", lambda study: study.retry(trial)),
            (
                "limits",
                lambda study: study.set_limits(lambda now: replace(now, trials=(now.trials or 0) + some)),
            ),
            ("stop", lambda study: study.stop()),
        )
        name, wish = rng.choice(wishes)
        self._world.tell("world", "a user's wish", f"{name} {trial}")
        self._world.counts["wishes"] += 1
        self._user(wish)
