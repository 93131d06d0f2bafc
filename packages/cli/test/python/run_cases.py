"""Runs the cases of modules and prints a line of JSON for each: run_cases.py MODULE..."""

import importlib
import json
import sys
import traceback

from cases import registered

for module in sys.argv[1:]:
    importlib.import_module(module)
for name, function in registered:
    try:
        function()
        error = None
    except Exception:
        error = traceback.format_exc()
    print(json.dumps({"name": name, "error": error}), flush=True)
