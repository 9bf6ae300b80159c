"""pyinfra's own configuration, read from the working directory. Project settings are in inventories/."""

# The oldest release whose @fake connector, loops and facts behave as the tests here expect.
REQUIRE_PYINFRA_VERSION = ">=3.10,<4"
