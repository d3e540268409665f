"""Room on disks: what a full one says, and what stays of earlier runs."""
