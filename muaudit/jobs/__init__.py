"""Running the audits of one command: from the cache where nothing has changed, else here or in parallel processes."""

from muaudit.jobs.all_jobs import run_jobs
from muaudit.jobs.job import Audited, Job

__all__ = ["Audited", "Job", "run_jobs"]
