"""What an inventory says of its hosts: their settings, read and checked for all of them at once. Contacts none."""
