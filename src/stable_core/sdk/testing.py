"""The name in the SDK of the plugin contract for pytest, `stable_core_testing.contract`. Nothing is checked here."""

pytest_plugins = ["stable_core_testing.contract"]
