"""pagetrail: who owned this page then, how do we know, and how sure are we?"""

__version__ = "0.1.0"
