"""Running the audits of one command: from the cache where nothing has changed, else here or in parallel processes."""

from muaudit.jobs.job import Audited, Job
from muaudit.jobs.run import run_jobs

__all__ = ["Audited", "Job", "run_jobs"]
