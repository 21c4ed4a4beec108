"""The report: one file that says what a campaign found, and how far to believe it."""

from palmette.report.data import (
    Difference,
    ProgressPoint,
    ReportData,
    separate_differences,
)
from palmette.report.from_store import report_data, write_report
from palmette.report.page import render, write

__all__ = [
    "Difference",
    "ProgressPoint",
    "ReportData",
    "render",
    "report_data",
    "separate_differences",
    "write",
    "write_report",
]
