"""Satellite rain judged against radar."""
