"""Every system of the paper, one readable file each."""
