"""Who may do what: Nova's own rule names and our defaults, in one table, judged by oslo.policy.

Roles are `admin` (everything), `manager` (moves of the own project's servers, without naming a host) and any other,
such as `member` (the own project). An operator's policy.yaml overrides single rules.
"""

from collections.abc import Mapping
from pathlib import Path

from oslo_config import cfg
from oslo_policy import policy as oslo

from haulier.api.caller import Caller
from haulier.errors import HaulierError

ADMIN = "rule:context_is_admin"
OWNER = "rule:admin_or_owner"
MANAGER = "rule:project_manager_or_admin"
ANYONE = "@"

RULES = {
    "context_is_admin": "role:admin",
    "admin_or_owner": "role:admin or project_id:%(project_id)s",
    "project_manager_or_admin": "role:admin or (role:manager and project_id:%(project_id)s)",
    "os_compute_api:servers:index": OWNER,
    "os_compute_api:servers:index:get_all_tenants": ADMIN,
    "os_compute_api:servers:detail": OWNER,
    "os_compute_api:servers:detail:get_all_tenants": ADMIN,
    "os_compute_api:servers:allow_all_filters": ADMIN,
    "os_compute_api:servers:show": OWNER,
    "os_compute_api:servers:show:host_status": ADMIN,
    "os_compute_api:servers:show:flavor-extra-specs": OWNER,
    "os_compute_api:servers:create": OWNER,
    "os_compute_api:servers:create:forced_host": ADMIN,
    "os_compute_api:servers:update": OWNER,
    "os_compute_api:servers:delete": OWNER,
    "os_compute_api:servers:resize": OWNER,
    "os_compute_api:servers:confirm_resize": OWNER,
    "os_compute_api:servers:revert_resize": OWNER,
    "os_compute_api:servers:start": OWNER,
    "os_compute_api:servers:stop": OWNER,
    "os_compute_api:servers:reboot": OWNER,
    "os_compute_api:os-migrate-server:migrate": MANAGER,
    "os_compute_api:os-migrate-server:migrate:host": ADMIN,
    "os_compute_api:os-pause-server:pause": OWNER,
    "os_compute_api:os-pause-server:unpause": OWNER,
    "os_compute_api:os-lock-server:lock": OWNER,
    "os_compute_api:os-lock-server:unlock": OWNER,
    "os_compute_api:os-console-output": OWNER,
    "os_compute_api:os-extended-server-attributes": ADMIN,
    "os_compute_api:server-metadata:index": OWNER,
    "os_compute_api:server-metadata:show": OWNER,
    "os_compute_api:server-metadata:create": OWNER,
    "os_compute_api:server-metadata:update_all": OWNER,
    "os_compute_api:server-metadata:update": OWNER,
    "os_compute_api:server-metadata:delete": OWNER,
    "os_compute_api:ips:index": OWNER,
    "os_compute_api:ips:show": OWNER,
    "os_compute_api:os-instance-actions:list": OWNER,
    "os_compute_api:os-instance-actions:show": OWNER,
    "os_compute_api:os-instance-actions:events": ADMIN,
    "os_compute_api:os-migrations:index": ADMIN,
    "os_compute_api:servers:migrations:index": ADMIN,
    "os_compute_api:servers:migrations:show": ADMIN,
    "os_compute_api:servers:migrations:delete": ADMIN,
    "os_compute_api:os-volumes-attachments:index": OWNER,
    "os_compute_api:os-attach-interfaces:list": OWNER,
    "os_compute_api:flavors": ANYONE,
    "os_compute_api:os-flavor-manage:create": ADMIN,
    "os_compute_api:os-flavor-manage:update": ADMIN,
    "os_compute_api:os-flavor-manage:delete": ADMIN,
    "os_compute_api:os-flavor-extra-specs:index": OWNER,
    "os_compute_api:os-flavor-extra-specs:show": OWNER,
    "os_compute_api:os-flavor-extra-specs:create": ADMIN,
    "os_compute_api:os-flavor-extra-specs:update": ADMIN,
    "os_compute_api:os-flavor-extra-specs:delete": ADMIN,
    "os_compute_api:os-services:list": ADMIN,
    "os_compute_api:os-services:update": ADMIN,
    "os_compute_api:os-services:delete": ADMIN,
    "os_compute_api:os-hypervisors:list": ADMIN,
    "os_compute_api:os-hypervisors:list-detail": ADMIN,
    "os_compute_api:os-hypervisors:show": ADMIN,
    "os_compute_api:os-hypervisors:search": ADMIN,
    "os_compute_api:os-hypervisors:servers": ADMIN,
    "os_compute_api:os-hypervisors:statistics": ADMIN,
    "os_compute_api:os-hypervisors:uptime": ADMIN,
    "os_compute_api:os-availability-zone:list": ANYONE,
    "os_compute_api:os-availability-zone:detail": ADMIN,
    "os_compute_api:os-aggregates:index": ADMIN,
    "os_compute_api:os-server-groups:index": ANYONE,
    "os_compute_api:os-keypairs:index": ANYONE,
    "os_compute_api:extensions": ANYONE,
    "os_compute_api:limits": ANYONE,
    "os_compute_api:limits:other_project": ADMIN,
    "os_compute_api:os-quota-sets:show": OWNER,
    "os_compute_api:os-quota-sets:defaults": ANYONE,
    "haulier:migrations:index": ADMIN,
    "haulier:migrations:show": OWNER,
    "haulier:hosts:index": ADMIN,
    "haulier:hosts:drain": ADMIN,
    "haulier:hosts:fence": ADMIN,
    "haulier:audit:show": ADMIN,
    "haulier:audit:repair": ADMIN,
}


class PolicyFileMissing(HaulierError):
    """The policy file that the settings name is not there."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __str__(self) -> str:
        return f"the policy file {self.path} does not exist"


class Policy:
    """The rules in force. `policy_file` is looked at again when it changes."""

    def __init__(self, policy_file: str | None = None) -> None:
        if policy_file is not None and not Path(policy_file).is_file():
            raise PolicyFileMissing(policy_file)
        settings = cfg.ConfigOpts()
        settings([], project="haulier", default_config_files=[], default_config_dirs=[])
        path = str(Path(policy_file).absolute()) if policy_file else None
        self._enforcer = oslo.Enforcer(settings, policy_file=path, use_conf=path is not None)
        settings.set_override("policy_dirs", [], group="oslo_policy")  # only the file that was named is read
        self._enforcer.register_defaults([oslo.RuleDefault(name, check) for name, check in RULES.items()])
        if path is None:
            self._enforcer.set_rules(oslo.Rules.from_dict(RULES), use_conf=False)
        self._enforcer.load_rules()

    def allows(self, rule: str, target: Mapping[str, str], caller: Caller) -> bool:
        """Whether `caller` may do `rule` to something with the attributes `target` (project_id)."""
        if rule not in RULES:
            raise KeyError(rule)
        who = {"user_id": caller.user_id, "project_id": caller.project_id, "roles": sorted(caller.roles)}
        return bool(self._enforcer.enforce(rule, dict(target), who))
