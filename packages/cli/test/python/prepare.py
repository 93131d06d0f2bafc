"""Makes a virtual environment once and prints its Python: prepare.py CACHE REQUIREMENTS

It is named for what is in it, so another Python or another line of requirements makes another one.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys

cache, requirements = sys.argv[1:]
with open(requirements, "rb") as lines:
    digest = hashlib.sha256(lines.read() + sys.version.encode()).hexdigest()[:16]
environment = os.path.join(cache, f"python-{digest}")
os.makedirs(cache, exist_ok=True)

# Test files run at the same time; the first makes it and the others wait.
with open(environment + ".lock", "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not os.path.exists(environment):
        draft = environment + ".draft"
        shutil.rmtree(draft, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", draft], check=True, stdout=sys.stderr)
        pip = [os.path.join(draft, "bin", "python"), "-m", "pip", "--disable-pip-version-check"]
        subprocess.run(
            [*pip, "install", "--quiet", "--no-deps", "--requirement", requirements],
            check=True,
            stdout=sys.stderr,
        )
        os.rename(draft, environment)

print(os.path.join(environment, "bin", "python"))
