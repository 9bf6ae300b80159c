"""pyinfra -y inventories/X.py runbooks/teardown.py --limit HOST: what this project made there goes; data stay."""

from tasks import preflight, teardown

teardown.remove(preflight.settings())
