"""Hosts as network namespaces on one switch, and three ways of cutting one of them off.

    with Network(("node1", "node2")) as network:
        network.inside("node1")             # a command that runs another one there
        network.cut("node1", Way.DROP)
        network.heal("node1")

A namespace has no name: it is there as long as a process that holds it, which dies with the tests. So nothing is left
behind, not even by `kill -9`. The one thing outside of them is this machine's own link to the switch: it goes with it.
"""

import random
import secrets
import subprocess
from contextlib import ExitStack
from enum import StrEnum

from tests.contract.nats_server import DIES_WITH_US

LINK = "net0"
"""What the network is called in every namespace."""
_OPEN = "*filter\n:INPUT ACCEPT\n:OUTPUT ACCEPT\nCOMMIT\n"
_DROP = f"*filter\n-A INPUT -i {LINK} -j DROP\n-A OUTPUT -o {LINK} -j DROP\nCOMMIT\n"
_RESET = f"""*filter
-A OUTPUT -o {LINK} -p tcp --tcp-flags RST RST -j ACCEPT
-A INPUT -i {LINK} -p tcp -j REJECT --reject-with tcp-reset
-A OUTPUT -o {LINK} -p tcp -j REJECT --reject-with tcp-reset
COMMIT
"""


class Way(StrEnum):
    LINK_DOWN = "link-down"
    """The cable is pulled at the switch."""
    DROP = "drop"
    """Every packet is lost, and nobody is told."""
    RESET = "reset"
    """Every connection breaks at once, and no new one is made."""


class Network:
    """`address` has each host's, `here` is this machine's own."""

    def __init__(self, hosts: tuple[str, ...]) -> None:
        net = _free_net()
        self.here = f"{net}.1"
        self.address = {host: f"{net}.{number}" for number, host in enumerate(hosts, start=10)}
        self._ends = ExitStack()
        self._holders: dict[str, int] = {}

    def inside(self, host: str) -> tuple[str, ...]:
        """Before a command: it runs there."""
        return ("nsenter", f"--net=/proc/{self._holders[host]}/ns/net")

    def cut(self, host: str, way: Way) -> None:
        """From now on nothing comes to this host, and nothing from it."""
        if way is Way.LINK_DOWN:
            self._ip("switch", f"link set {host} down")
        else:
            self._rules(host, _DROP if way is Way.DROP else _RESET)

    def heal(self, host: str) -> None:
        """Whichever way it was cut off, it is not any more; nothing happens to one that was not."""
        self._ip("switch", f"link set {host} up")
        self._rules(host, _OPEN)

    def throttle(self, host: str, rate: str | None) -> None:
        """What the host sends goes at this rate, such as `1mbit`; None for as fast as it can."""
        kind = f"tbf rate {rate} burst 16kb latency 1s" if rate else "pfifo limit 1000"
        _run(*self.inside(host), "tc", "qdisc", "replace", "dev", LINK, "root", *kind.split())

    def __enter__(self) -> "Network":
        try:
            self._build()
        except BaseException:
            self._ends.close()
            raise
        return self

    def __exit__(self, *problem: object) -> None:
        self._ends.close()

    def _build(self) -> None:
        for name in ("switch", *self.address):
            self._holders[name] = self._hold()
        switch = self._holders["switch"]
        self._ip("switch", "link add switch type bridge forward_delay 0", "link set switch up")
        mine = f"haulier{secrets.token_hex(4)}"
        _run("ip", *f"link add {mine} type veth peer name outside netns {switch}".split())
        _run("ip", *f"addr add {self.here}/24 dev {mine}".split())
        _run("ip", *f"link set {mine} up".split())
        self._ip("switch", "link set outside master switch up")
        for host, address in self.address.items():
            peer = f"peer name {LINK} netns {self._holders[host]}"
            self._ip("switch", f"link add {host} type veth {peer}", f"link set {host} master switch up")
            self._ip(host, "link set lo up", f"addr add {address}/24 dev {LINK}", f"link set {LINK} up")

    def _hold(self) -> int:
        """A process in a new namespace, once it is in it."""
        command = (*DIES_WITH_US, "unshare", "--net", "sh", "-c", "echo; exec sleep infinity")
        holder = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True)
        self._ends.callback(holder.wait)
        self._ends.callback(holder.kill)
        assert holder.stdout is not None
        assert holder.stdout.readline(), "no namespace could be made"
        holder.stdout.close()
        return holder.pid

    def _ip(self, where: str, *commands: str) -> None:
        _run(*self.inside(where), "ip", "-batch", "-", told="\n".join(commands) + "\n")

    def _rules(self, host: str, rules: str) -> None:
        _run(*self.inside(host), "iptables-restore", "--wait", told=rules)


def _run(*command: str, told: str | None = None) -> str:
    done = subprocess.run(command, input=told, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}{done.stdout}"
    return done.stdout


def _free_net() -> str:
    """One of the 512 networks that are set aside for measuring (RFC 2544) that this machine has no address in."""
    taken = _run("ip", "-oneline", "-4", "addr")
    while True:
        net = f"198.{random.choice((18, 19))}.{random.randrange(256)}"
        if f" {net}." not in taken:
            return net
