"""OpenStack Swift with its S3 API, all of it in one process on one loopback port: proxy, account, container and object
server, one device, one replica. What Debian's python3-swift brings is enough. Arguments: a folder for its data, address
and port of the S3 API, the access key and the secret of the one account, and the bucket that it has from the start."""
import os
import sys

import eventlet

eventlet.monkey_patch()

import eventlet.wsgi  # noqa: E402
from swift.common import utils  # noqa: E402
from swift.common.ring import RingBuilder  # noqa: E402
from swift.common.swob import Request  # noqa: E402
from swift.common.wsgi import SwiftHttpProtocol, loadapp  # noqa: E402

folder, face, port, key, secret, bucket = sys.argv[1:7]
account, user = key.split(":")
# Of the servers that nobody else talks to.
address = "127.0.0.1"
servers = ("object", "container", "account")

common = f"""
[DEFAULT]
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
fallocate_reserve = 0
disable_fallocate = true
log_name = s3
log_level = ERROR
"""

proxy = f"""
[pipeline:main]
pipeline = catch_errors gatekeeper cache listing_formats s3api tempauth slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
node_timeout = 30
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:cache]
use = egg:swift#memcache
memcache_servers = {address}:1
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_{account}_{user} = {secret} .admin
[filter:slo]
use = egg:swift#slo
"""


def load(kind, text):
    conf = os.path.join(folder, f"{kind}-server.conf")
    with open(conf, "w", encoding="utf-8") as file:
        file.write(common + text)
    return loadapp(conf)


def serve(listener, app):
    # Two hundred connections at once are plenty for a lab.
    pool = eventlet.GreenPool(200)
    eventlet.spawn(eventlet.wsgi.server, listener, app, protocol=SwiftHttpProtocol, log_output=False, custom_pool=pool)


def make_bucket():
    """Past the S3 API and its logins: Bun's client cannot make one."""
    app = load("inner", "[pipeline:main]\npipeline = proxy-server\n[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\n")
    made = Request.blank(f"/v1/AUTH_{account}/{bucket}", environ={"REQUEST_METHOD": "PUT"}).get_response(app)
    if made.status_int // 100 != 2:
        sys.exit(f"the bucket {bucket} could not be made: {made.status}")


def main():
    os.makedirs(f"{folder}/devices/disk", exist_ok=True)
    # Instead of /etc/swift/swift.conf, which is there only where the whole of Swift is installed.
    utils.HASH_PATH_PREFIX = utils.HASH_PATH_SUFFIX = b"lab"
    listeners = {kind: eventlet.listen((address, 0)) for kind in servers}
    for kind, listener in listeners.items():
        ring = RingBuilder(2, 1, 0)
        at = listener.getsockname()[1]
        ring.add_dev({"region": 1, "zone": 1, "ip": address, "port": at, "device": "disk", "weight": 1})
        ring.rebalance()
        ring.get_ring().save(f"{folder}/{kind}.ring.gz")
    for kind, listener in listeners.items():
        serve(listener, load(kind, f"[pipeline:main]\npipeline = {kind}-server\n[app:{kind}-server]\nuse = egg:swift#{kind}\n"))
    make_bucket()
    serve(eventlet.listen((face, int(port))), load("proxy", proxy))
    print("ready", flush=True)
    while True:
        eventlet.sleep(3600)


main()
