"""
The error tree: one class, stable code and public sentence for each cause.

The kinds: invalid input (`InvalidInput`), missing authentication (`NotAuthenticated`) or permission (`NotAllowed`), a
missing object (`NotFound`) or a deleted or expired one (`Gone`), a conflict with the present state (`Conflict`), a
temporary failure of the service (`Unavailable`), and stored data that changed after they were stored (`Damaged`).

Adapters translate every driver's exception into this tree before it passes a port, so callers never see a driver's
text. `public` may be shown to every caller; `detail` is for logs.

Import errors from this package; its modules sort them by kind.
"""

from sft_core.errors.access import *
from sft_core.errors.base import *
from sft_core.errors.failures import *
from sft_core.errors.state import *
from sft_core.errors.validation import *
