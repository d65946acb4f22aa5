"""All the rules: who may do what, and what an insert means. No HTTP, no SQL."""

from .actor import NOBODY, ROOT, Actor
from .core import Core
from .data import UploadRequest
from .permissions import Permissions

__all__ = ["NOBODY", "ROOT", "Actor", "Core", "Permissions", "UploadRequest"]
