"""
Value types that validate themselves; an instance always satisfies the rule of its type.

A violated rule raises `InvalidValue`, or a subclass, with the field's name and a sentence. Import from this package.
"""

from sft_core.values.files import *
from sft_core.values.identity import *
from sft_core.values.quantities import *
from sft_core.values.secrets import *
