"""The real driver: QEMU for guests, qemu-storage-daemon for moving disks, qemu-img for making them."""
