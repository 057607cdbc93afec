"""Running the audits of one command: from the cache where nothing has changed, else here or in parallel processes."""

from muaudit.audits.job import Audited, Job
from muaudit.audits.run import run_jobs

__all__ = ["Audited", "Job", "run_jobs"]
