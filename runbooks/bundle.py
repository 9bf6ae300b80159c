"""pyinfra -y inventories/X.py runbooks/bundle.py --limit HOST: the locked images and packages as one archive."""

from webui_stack.tasks import bundle, preflight

bundle.pack(preflight.settings())
