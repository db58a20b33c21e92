"""One page that shows a model, its costs and its pictures."""

from pipelines.report.build import Job, run

__all__ = ["Job", "run"]
