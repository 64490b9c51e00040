"""Every version of an event that was ever published: its pydantic models, and its Arrow schema for batches.

The lowest is 1. A version here never changes once it is published (see ``pagetrail.schemas.publish``).
"""
