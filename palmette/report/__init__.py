"""The report: one file that says what a campaign found, and how far to believe it."""

from palmette.report.columns import Column, study_columns
from palmette.report.conclusion import Conclusion, concluded
from palmette.report.data import (
    Difference,
    ProgressPoint,
    ReportData,
    separate_differences,
)
from palmette.report.from_store import report_data, write_report
from palmette.report.page import render, write
from palmette.report.study import render_study, write_study

__all__ = [
    "Column",
    "Conclusion",
    "Difference",
    "ProgressPoint",
    "ReportData",
    "concluded",
    "render",
    "render_study",
    "report_data",
    "separate_differences",
    "study_columns",
    "write",
    "write_report",
    "write_study",
]
