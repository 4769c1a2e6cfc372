"""A verification or a validation as one HTML file that needs nothing else, and as a table."""

from ondee.report.gallery import draw_all
from ondee.report.page import write_report
from ondee.report.table import COLUMNS, Column, Row, tabulate

__all__ = ["COLUMNS", "Column", "Row", "draw_all", "tabulate", "write_report"]
