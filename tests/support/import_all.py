"""`python import_all.py clew.gateway`: import every module of a package, to see that its dependencies are declared.

Run in an environment that holds only what the package declares. Alembic's scripts are left out: they run only under it.
"""

import importlib
import pkgutil
import sys

[package] = sys.argv[1:]
root = importlib.import_module(package)
for module in pkgutil.walk_packages(root.__path__, f"{package}."):
    if not module.name.endswith(".__main__") and ".migrations" not in module.name:
        importlib.import_module(module.name)
