"""Settings of all hosts in this folder's inventories. A host's own, in the inventory, override them."""

# backup_schedule = "*-*-* 03:30"
# open_webui_jwt_expires_in = "24h"
