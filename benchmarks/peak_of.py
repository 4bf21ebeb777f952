"""Run a command and leave the most memory that it held, in bytes: python peak_of.py FILE COMMAND…"""

import resource
import subprocess
import sys
from pathlib import Path

code = subprocess.call(sys.argv[2:])
held = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
Path(sys.argv[1]).write_text(str(held))
sys.exit(code)
