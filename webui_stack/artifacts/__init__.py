"""What moves between hosts and this machine: bundles, backup sets, images, copies off site."""
