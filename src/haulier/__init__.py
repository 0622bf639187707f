"""haulier: a compute control plane for fleets of KVM/QEMU hosts, built around cold migration."""

__version__ = "0.1.0"
