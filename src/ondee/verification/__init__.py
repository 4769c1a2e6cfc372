"""Judging estimates against a truth, over archives of any length."""

from ondee.verification.result import Verification
from ondee.verification.run import forget, plan, verify
from ondee.verification.settings import STRATA, Settings
from ondee.verification.subjects import Subject, subject

__all__ = ["STRATA", "Settings", "Subject", "Verification", "forget", "plan", "subject", "verify"]
