"""`python -m edgeaff` is the command `edgeaff`."""

from edgeaff.cli.main import entry

if __name__ == "__main__":
    entry()
