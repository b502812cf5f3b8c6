"""HAProxy of deploy/ha/ on a host."""

from bench.servers.child import Child, wait_until_listening
from deploy.ha import rendering
from tests.drills.cluster import Cluster
from tests.hosts.network import Namespace


def start_proxy(cluster: Cluster, host: Namespace) -> Child:
    values = {**cluster.variables, "proxy_address": host.address}
    file = cluster.folder / f"{host.name}-{rendering.PROXY}"
    file.write_text(rendering.render(rendering.PROXY, values))
    log = cluster.folder / "logs" / f"{host.name}-haproxy.log"
    proxy = Child([*host.prefix, "haproxy", "-db", "-f", str(file)], log)
    wait_until_listening(values["proxy_port"], 60, host.address)
    return proxy
