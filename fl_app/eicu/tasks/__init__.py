"""What is predicted, from which hours: the benchmark's four tasks behind one interface."""

from fl_app.eicu.tasks.mortality import MINUTES_PER_DAY, MortalityTask
from fl_app.eicu.tasks.phenotyping import PhenotypingTask
from fl_app.eicu.tasks.task import Samples, Task
from fl_app.eicu.tasks.windows import DecompensationTask, RemainingStayTask

BALANCED_BY = MortalityTask("mortality_48h", 48)
"""The task whose stays and deaths are balanced when hospitals are dealt, and counted when a release is described."""

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        BALANCED_BY,
        MortalityTask("mortality_24h", 24),
        RemainingStayTask(),
        DecompensationTask(),
        PhenotypingTask(),
    )
}

__all__ = ["BALANCED_BY", "MINUTES_PER_DAY", "TASKS", "MortalityTask", "Samples", "Task"]
