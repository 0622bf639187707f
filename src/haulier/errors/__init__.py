"""Every error the product can mean, as a noun with fields.

Nothing here knows of HTTP: `api/faults.py` holds the one table from error to status and Nova's wording.
The text of an error says what was refused and why; where there is something to do about it, it says that too.
"""

from haulier.errors.access import *
from haulier.errors.bad_input import *
from haulier.errors.base import *
from haulier.errors.conflict import *
from haulier.errors.not_found import *
from haulier.errors.refused import *
