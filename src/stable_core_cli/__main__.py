"""`python -m stable_core_cli`: the same as `stable-core`, where the script is not at hand. Nothing else is here."""

from stable_core_cli.app import main

main()
