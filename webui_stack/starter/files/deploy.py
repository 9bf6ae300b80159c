"""pyinfra inventories/servers.py deploy.py: from a bare host to a proven Open WebUI + Valkey stack."""

from webui_stack import deploys

deploys.provision()
